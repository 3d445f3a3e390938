// LanceDB: one Arrow table per batch, an index on the id for gets. Asynchronous throughout, and it never syncs.

import { connect, Index } from '@lancedb/lancedb'
import {
  Field,
  FixedSizeList,
  Float32,
  Float64,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  Table,
  Utf8,
  vectorFromArray,
} from 'apache-arrow'

export const name = 'lancedb'
export const packageName = '@lancedb/lancedb'
export const settings = {
  process: 'one Arrow table per batch, BTREE index on id; exact search bypasses the vector index',
}

function makeSchema(dimensions) {
  const list = new FixedSizeList(dimensions, new Field('item', new Float32(), true))
  return new Schema([
    new Field('id', new Utf8()),
    new Field('embedding', list),
    new Field('content', new Utf8()),
    new Field('metadata', new Utf8()),
    new Field('confidence', new Float64()),
    new Field('created_at', new Float64()),
  ])
}

/** One batch, columns built whole: the way that copies least on its way in. */
function toArrow(memories, schema, dimensions) {
  const given = Array.isArray(memories) ? memories : [...memories]
  const floats = new Float32Array(given.length * dimensions)
  given.forEach(({ embedding }, i) => {
    floats.set(embedding, i * dimensions)
  })
  const [, embeddingField] = schema.fields
  const embeddings = makeData({
    type: embeddingField.type,
    length: given.length,
    child: makeData({ type: new Float32(), length: floats.length, data: floats }),
  })
  const text = (pick) => vectorFromArray(given.map(pick), new Utf8()).data[0]
  const numbers = (pick) =>
    makeData({ type: new Float64(), length: given.length, data: Float64Array.from(given, pick) })
  const children = [
    text(({ id }) => id),
    embeddings,
    text(({ content }) => content),
    text(({ metadata }) => JSON.stringify(metadata)),
    numbers(({ confidence }) => confidence),
    numbers(({ createdAt }) => createdAt),
  ]
  const data = makeData({ type: new Struct(schema.fields), length: given.length, nullCount: 0, children })
  return new Table([new RecordBatch(schema, data)])
}

function decode({ id, embedding, content, metadata, confidence, created_at }) {
  const floats = Float32Array.from(embedding.toArray())
  return { id, embedding: floats, content, metadata: JSON.parse(metadata), confidence, createdAt: created_at }
}

/** Nearest ids. `shape`: what a search by an index, or without one, adds to the query. */
export async function findNearest(table, query, limit, shape) {
  const nearest = shape(table.vectorSearch(query).column('embedding').distanceType('cosine'))
  const rows = await nearest.select(['id', '_distance']).limit(limit).toArray()
  return rows.map(({ id }) => id)
}

export async function open(path, { dimensions }) {
  const connection = await connect(path)
  const schema = makeSchema(dimensions)
  const existing = (await connection.tableNames()).includes('memories')
  const table = existing
    ? await connection.openTable('memories')
    : await connection.createEmptyTable('memories', schema)
  return {
    table,
    putMany: (memories) => table.add(toArrow(memories, schema, dimensions)),
    put: (memory) => table.add(toArrow([memory], schema, dimensions)),
    /** Without it each get reads every row. */
    afterFill: () => table.createIndex('id', { config: Index.btree() }),
    async get(id) {
      const [row] = await table.query().where(`id = '${id}'`).limit(1).toArray()
      return decode(row)
    },
    async readAll(visit) {
      for await (const batch of table.query()) for (const row of batch) visit(decode(row))
    },
    search: (query, limit) => findNearest(table, query, limit, (search) => search.bypassVectorIndex()),
    flush() {},
    close() {
      table.close()
      connection.close()
    },
  }
}
