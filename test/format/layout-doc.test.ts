// docs/format.md against native/core/format/layout.h: every struct, field, enum and constant of the one is in the
// other with the same numbers, and the worked example is what the core's own decoders read.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCxx } from '../support/cxx.js'
import { readStore } from '../support/format-reader.js'
import { type FormatDocument, parseFormatDocument } from '../support/format-tables.js'

const compileMsMax = 60_000
const layoutPath = fileURLToPath(new URL('../../native/core/format/layout.h', import.meta.url))

interface Layout {
  structs: Record<string, { bytes: number; fields: Record<string, { offset: number; size: number }> }>
  enums: Record<string, Record<string, string>>
  constants: Record<string, string>
}

/** Asks the compiler for everything that the document names. A name that the headers lack does not compile. */
function layoutOf(document: FormatDocument): Layout {
  const statements: string[] = []
  const emit = (format: string, ...values: string[]): void => {
    statements.push(`  std::printf(${JSON.stringify(format)}${values.map((value) => `, ${value}`).join('')});`)
  }
  const list = <T>(items: T[], visit: (item: T) => void): void => {
    for (const [at, item] of items.entries()) {
      if (at > 0) emit(',')
      visit(item)
    }
  }
  emit('{"structs":{')
  list(document.structs, (struct) => {
    emit(`"${struct.name}":{"bytes":%zu,"fields":{`, `sizeof(${struct.name})`)
    list(struct.fields, ({ name }) => {
      const sizes = [`offsetof(${struct.name}, ${name})`, `sizeof(${struct.name}::${name})`]
      emit(`"${name}":{"offset":%zu,"size":%zu}`, ...sizes)
    })
    emit('}}')
  })
  emit('},"enums":{')
  list(document.enums, (enumeration) => {
    emit(`"${enumeration.name}":{`)
    list(enumeration.values, ({ name }) => {
      emit(`"${name}":"%llu"`, `static_cast<unsigned long long>(${enumeration.name}::${name})`)
    })
    emit('}')
  })
  emit('},"constants":{')
  list(document.constants, ({ name }) => emit(`"${name}":"%llu"`, `static_cast<unsigned long long>(${name})`))
  emit('}}')
  const program = `
#include <cstdio>
#include "core/base/limits.h"
#include "core/format/layout.h"
using namespace thermocline;
using namespace thermocline::format;
int main() {
${statements.join('\n')}
}
`
  return runCxx(program) as Layout
}

/** What is wrong with the document, one line each. */
function differences(document: FormatDocument, layout: Layout): string[] {
  const found: string[] = []
  const compare = (what: string, said: unknown, is: unknown): void => {
    if (said !== is) found.push(`${what} is ${is}, the document says ${said}`)
  }
  for (const struct of document.structs) {
    const truth = layout.structs[struct.name]
    compare(`size of ${struct.name}`, struct.bytes, truth?.bytes)
    let end = 0
    for (const field of struct.fields) {
      compare(`offset of ${struct.name}.${field.name}`, field.offset, truth?.fields[field.name]?.offset)
      compare(`size of ${struct.name}.${field.name}`, field.size, truth?.fields[field.name]?.size)
      compare(`begin of ${struct.name}.${field.name}, without a gap,`, field.offset, end)
      end = field.offset + field.size
    }
    compare(`end of the last field of ${struct.name}`, end, struct.bytes)
  }
  for (const enumeration of document.enums) {
    for (const { name, value } of enumeration.values) {
      compare(`${enumeration.name}::${name}`, String(value), layout.enums[enumeration.name]?.[name])
    }
  }
  for (const { name, value } of document.constants) compare(name, String(value), layout.constants[name])
  return found
}

describe('docs/format.md', () => {
  const document = parseFormatDocument()
  let layout: Layout

  beforeAll(() => {
    layout = layoutOf(document)
  }, compileMsMax)

  test('gives every struct, enum and constant the numbers that the compiler gives', () => {
    expect(differences(document, layout)).toEqual([])
  })

  test('leaves out no struct, enum or constant of layout.h', () => {
    const header = readFileSync(layoutPath, 'utf8')
    const names = (pattern: RegExp): string[] => [...header.matchAll(pattern)].map((match) => match[1] ?? '')
    const values = ['StoreId', 'Salt'] // two words each, which the document writes as id128
    const structs = names(/^struct (\w+) \{/gm).filter((name) => !values.includes(name))
    expect(document.structs.map(({ name }) => name).sort()).toEqual(structs.sort())
    expect(document.enums.map(({ name }) => name).sort()).toEqual(names(/^enum class (\w+)/gm).sort())
    const constants = document.constants.map(({ name }) => name)
    expect(constants).toEqual(expect.arrayContaining(names(/^inline constexpr \w+ (k\w+) =/gm)))
    for (const enumeration of document.enums) {
      const body = new RegExp(`enum class ${enumeration.name}[^{]*\\{([^}]*)\\}`).exec(header)?.[1] ?? ''
      const enumerators = [...body.matchAll(/(k\w+) =/g)].map((match) => match[1])
      expect(enumeration.values.map(({ name }) => name)).toEqual(enumerators)
    }
  })

  test('is compared row by row: any number of any row that is off by one is seen', () => {
    const missed: string[] = []
    const tryOne = (what: string, change: () => void, restore: () => void): void => {
      change()
      if (differences(document, layout).length === 0) missed.push(what)
      restore()
    }
    for (const struct of document.structs) {
      const bytes = struct.bytes
      const off = (delta: number) => () => {
        struct.bytes = bytes + delta
      }
      tryOne(`${struct.name} bytes`, off(1), off(0))
      for (const field of struct.fields) {
        for (const key of ['offset', 'size'] as const) {
          const value = field[key]
          const shift = (delta: number) => () => {
            field[key] = value + delta
          }
          tryOne(`${struct.name}.${field.name} ${key}`, shift(1), shift(0))
        }
      }
      const last = struct.fields.pop()
      tryOne(
        `${struct.name} without its last row`,
        () => {},
        () => struct.fields.push(...(last ? [last] : [])),
      )
    }
    for (const row of [...document.constants, ...document.enums.flatMap(({ values }) => values)]) {
      const value = row.value
      tryOne(
        row.name,
        () => {
          row.value = value + 1n
        },
        () => {
          row.value = value
        },
      )
    }
    expect(missed).toEqual([])
  })
})

describe('the worked example of docs/format.md', () => {
  const { example } = parseFormatDocument()
  const directory = mkdtempSync(join(tmpdir(), 'thermocline-example-'))
  for (const [name, bytes] of example) writeFileSync(join(directory, name), bytes)
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  test('reads as the page says with the reader written from the page', () => {
    const store = readStore(directory)
    expect(store.problems).toEqual([])
    expect([...store.memories.values()]).toEqual([
      {
        id: 'mem-1',
        embedding: new Float32Array([1, -0.5]),
        content: 'Grüße',
        metadata: { k: 1 },
        confidence: 0.75,
        createdAt: 1_700_000_000_500,
        sequence: 1,
        activation: 1,
        lastAccess: 1_700_000_000_500,
        recallCount: 3,
        segment: 1,
        slot: 0,
        logOffset: 4352,
        logLength: 88,
      },
    ])
    expect(store.changes).toEqual([{ sequence: 1, kind: 'put', id: 'mem-1' }])
  })

  test(
    'reads as the page says with the decoders of the core',
    () => {
      const sources = [
        'format/meta.cc',
        'format/frame.cc',
        'format/blocks.cc',
        'base/crc32c.cc',
        'base/assert.cc',
        'base/status.cc',
      ]
      const answer = runCxx(
        exampleProgram,
        sources.map((path) => `core/${path}`),
        [directory],
      )
      expect(answer).toEqual({
        meta: { dimensions: 2, segments: 1, logEnd: 4440 },
        headers: true,
        frames: [
          { offset: 4096, kind: 3, previous: 0, previousCrc: 0 },
          { offset: 4224, kind: 1, previous: 0x100000200, previousCrc: 0xa8e31b16 },
        ],
        record: { id: 'mem-1', content: 'Grüße', metadata: { k: 1 }, slot: 0, sequence: 1 },
        embeddingHolds: true,
      })
    },
    compileMsMax,
  )
})

const exampleProgram = `
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include "core/base/crc32c.h"
#include "core/format/blocks.h"
#include "core/format/frame.h"
#include "core/format/meta.h"
using namespace thermocline;
using namespace thermocline::format;

static std::string Read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

int main(int, char** arguments) {
  const std::string directory = arguments[1];
  const std::string meta_bytes = Read(directory + "/meta"), log = Read(directory + "/1.log"), blocks = Read(directory + "/1.blocks");
  const auto meta = DecodeMeta(meta_bytes);
  if (!meta.ok()) return 1;
  const SegmentEntry& entry = meta->segments[0];
  std::printf("{\\"meta\\":{\\"dimensions\\":%u,\\"segments\\":%zu,\\"logEnd\\":%llu},", meta->dimensions, meta->segments.size(),
              static_cast<unsigned long long>(entry.log_end));
  const auto log_header = DecodeLogHeader(log);
  const auto layout = DecodeBlocksHeader(blocks);
  const bool headers = log_header && layout && log_header->store_id == meta->store_id && layout->store_id == meta->store_id &&
                       log_header->segment == 1 && layout->segment == 1 && log_header->log_capacity == entry.log_capacity &&
                       layout->slots == entry.slots && layout->dimensions == meta->dimensions;
  std::printf("\\"headers\\":%s,\\"frames\\":[", headers ? "true" : "false");
  std::string record_json;
  bool holds = false;
  for (uint64_t offset = kHeaderBytes; offset < entry.log_end;) {
    const std::span<const char> bytes(log.data() + offset, entry.log_end - offset);
    const uint32_t seed = FrameSeed(meta->salt, Position(static_cast<SegmentNumber>(1), offset));
    const auto frame = DecodeFrameHeader(bytes, seed);
    if (!frame || !CheckFrameBody(*frame, bytes, seed)) return 2;
    std::printf("%s{\\"offset\\":%llu,\\"kind\\":%u,\\"previous\\":%llu,\\"previousCrc\\":%u}", offset > kHeaderBytes ? "," : "",
                static_cast<unsigned long long>(offset), unsigned{frame->kind},
                static_cast<unsigned long long>(frame->previous_frame), frame->previous_header_crc);
    if (frame->record_count > 0) {
      const auto record = DecodeRecord(bytes.subspan(sizeof *frame, frame->record_bytes));
      if (!record) return 3;
      record_json = "{\\"id\\":\\"" + std::string(record->id) + "\\",\\"content\\":\\"" + std::string(record->content) +
                    "\\",\\"metadata\\":" + std::string(record->metadata) + ",\\"slot\\":" + std::to_string(record->header.slot) +
                    ",\\"sequence\\":" + std::to_string(record->header.sequence) + "}";
      const char* embedding = blocks.data() + layout->embedding_offset + layout->embedding_stride * record->header.slot;
      holds = record->header.embedding_crc ==
              Crc32c(BlockSeed(meta->salt, static_cast<SegmentNumber>(1), record->slot()), embedding, meta->dimensions * 4);
    }
    offset += sizeof *frame + frame->body_bytes;
  }
  std::printf("],\\"record\\":%s,\\"embeddingHolds\\":%s}", record_json.c_str(), holds ? "true" : "false");
}
`
