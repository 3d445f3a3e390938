// npm run docs: writes docs/api.md from the types and their comments. With --check it only tells whether that is current.
//
// What a package exports decides what is described; an exported thing without a comment is an error. Order: functions,
// then what has methods, then values and options, each in the order of the sources. Not here: any text but headings.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import ts from 'typescript'
import { root, runAsProgram, ScriptError } from './run.mjs'

const target = join(root, 'docs', 'api.md')
const modules = [
  { name: 'thermocline', entry: 'src/index.ts' },
  { name: 'thermocline/warm', entry: 'src/warm/index.ts' },
]
// Where an export comes from decides its place among others of its kind.
const order = [
  'index',
  'store',
  'types',
  'tiers/types',
  'tiers/spaces',
  'tiers/tiered-store',
  'filter-types',
  'errors',
].map((name) => join(root, 'src', `${name}.ts`))
const columns = 120
const introduction = [
  '# API',
  '',
  'Written by `npm run docs` from the comments in `src`; a test keeps it current. Codes of errors stand after',
  '`THERMOCLINE_`; [errors.md](errors.md) says when each is raised and which calls may simply be tried again. A wrong',
  'type is a `TypeError`, a value out of its range a `RangeError`, both with a code; all else is a `ThermoclineError`.',
  'In the examples `store` is an open store.',
]

function createProgram() {
  const file = join(root, 'tsconfig.json')
  const { config } = ts.readConfigFile(file, ts.sys.readFile)
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  return ts.createProgram(
    modules.map(({ entry }) => join(root, entry)),
    { ...options, noEmit: true },
  )
}

/** Comment of a declaration: its text, its examples, whether it is internal. */
function readComment(node) {
  const comment = { text: '', examples: [], isInternal: false }
  for (const part of ts.getJSDocCommentsAndTags(node)) {
    const text = ts.getTextOfJSDocComment(part.comment) ?? ''
    if (ts.isJSDoc(part)) {
      comment.text = text
      for (const tag of part.tags ?? []) {
        if (tag.tagName.text === 'internal') comment.isInternal = true
        if (tag.tagName.text === 'example') comment.examples.push(ts.getTextOfJSDocComment(tag.comment) ?? '')
      }
    }
  }
  return comment
}

function wrap(paragraph) {
  const lines = ['']
  for (const word of paragraph.split(/\s+/)) {
    const line = lines.at(-1)
    if (line !== '' && line.length + 1 + word.length > columns) lines.push(word)
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`
  }
  return lines.join('\n')
}

/** Paragraphs of a comment, wrapped anew. */
function formatText(text) {
  return text
    .split(/\n\s*\n/)
    .map((paragraph) => wrap(paragraph.trim()))
    .join('\n\n')
}

function code(language, text) {
  return ['```'.concat(language), text, '```'].join('\n')
}

/** Source of a declaration on one line, without its comment, body, `export` and trailing semicolon. */
function signatureOf(node) {
  const file = node.getSourceFile()
  const end = node.body === undefined ? node.end : node.body.pos
  return file.text
    .slice(node.getStart(file), end)
    .replace(/^export (?:async )?/, '')
    .replace(/^get (\w+)\(\)/, 'readonly $1')
    .replace(/\s+/g, ' ')
    .trim()
}

/** Keys of the object types inside a key's own type that have comments: they get rows of their own. */
function innerMembers(member) {
  const types = member.type !== undefined && ts.isUnionTypeNode(member.type) ? member.type.types : [member.type]
  const inner = types.flatMap((type) => (type !== undefined && ts.isTypeLiteralNode(type) ? [...type.members] : []))
  return inner.filter((each) => ts.isPropertySignature(each) && readComment(each).text !== '')
}

// An optional key may be given as undefined everywhere; saying so each time would only hide the type.
function typeCell(member, known) {
  const text = (member.type?.getText() ?? '')
    .replace(/\/\*\*.*?\*\//gs, '')
    .replace(/\s+/g, ' ')
    .replace(/^ ?\| /, '')
  const isObject = innerMembers(member).length > 0
  const whole = member.questionToken === undefined ? text : text.replace(/ \| undefined$/, '')
  const shown = isObject ? whole.replace(/\{.*\}/, 'object') : whole
  const cell = `\`${shown.replaceAll('|', '\\|')}\``
  const named = [...shown.matchAll(/\b[A-Z]\w+/g)].map(([name]) => name).find((name) => known.has(name))
  return named === undefined ? cell : `[${cell}](#${named.toLowerCase()})`
}

class Report {
  missing = []

  comment(node, name) {
    const comment = readComment(node)
    if (comment.text === '' && !comment.isInternal) {
      const { line } = node.getSourceFile().getLineAndCharacterOfPosition(node.getStart())
      this.missing.push(`${relative(root, node.getSourceFile().fileName)}:${line + 1}: ${name} has no comment`)
    }
    return comment
  }
}

function bodyOf({ text, examples }) {
  return [formatText(text), ...examples.map((example) => (example.startsWith('```') ? example : code('js', example)))]
}

function describeTable(members, owner, known, report) {
  const rowsOf = (member, prefix) => {
    const path = `${prefix}${member.name.getText()}`
    const { text } = report.comment(member, `${owner}.${path}`)
    const name = `${path}${member.questionToken === undefined ? '' : '?'}`
    const row = `| \`${name}\` | ${typeCell(member, known)} | ${text.replace(/\s+/g, ' ').replaceAll('|', '\\|')} |`
    return [row, ...innerMembers(member).flatMap((inner) => rowsOf(inner, `${path}.`))]
  }
  return ['| key | type | meaning |\n|---|---|---|', ...members.flatMap((member) => rowsOf(member, ''))].join('\n')
}

function describeMember(member, owner, report) {
  const name = member.name.getText()
  const comment = report.comment(member, `${owner}.${name}`)
  if (comment.isInternal) return []
  return [`#### ${name.startsWith('[') ? `\`${name}\`` : name}`, code('ts', signatureOf(member)), ...bodyOf(comment)]
}

const isHidden = (member) =>
  member.name === undefined ||
  ts.isPrivateIdentifier(member.name) ||
  member.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword)

/** Members that a class adds to the interfaces that it implements, whose own sections describe the others. */
function ownMembers(node, checker) {
  const implemented = (node.heritageClauses ?? [])
    .flatMap(({ types }) => types)
    .flatMap((type) => checker.getTypeAtLocation(type).getProperties())
  const names = new Set(implemented.map(({ name }) => name))
  const computed = (member) => member.name !== undefined && ts.isComputedPropertyName(member.name)
  return node.members.filter(
    (member) =>
      !isHidden(member) &&
      !ts.isConstructorDeclaration(member) &&
      !computed(member) &&
      !names.has(member.name.getText()),
  )
}

function heritage(node) {
  return (node.heritageClauses ?? []).map((clause) => clause.getText()).join(' ')
}

function describe(name, node, known, checker, report) {
  const comment = report.comment(node, name)
  const head = [`### ${name}`]
  if (ts.isFunctionDeclaration(node)) return [...head, code('ts', signatureOf(node)), ...bodyOf(comment)]
  if (ts.isTypeAliasDeclaration(node)) return [...head, code('ts', signatureOf(node)), ...bodyOf(comment)]
  if (ts.isClassDeclaration(node)) {
    const title = code('ts', `class ${name} ${heritage(node)}`.trim())
    const members = ownMembers(node, checker).flatMap((member) => describeMember(member, name, report))
    return [...head, title, ...bodyOf(comment), ...members]
  }
  const members = node.members.filter((member) => !ts.isIndexSignatureDeclaration(member))
  if (members.length === 0) return [...head, code('ts', signatureOf(node)), ...bodyOf(comment)]
  const isTable = members.every((member) => ts.isPropertySignature(member))
  if (isTable) return [...head, ...bodyOf(comment), describeTable(members, name, known, report)]
  return [...head, ...bodyOf(comment), ...members.flatMap((member) => describeMember(member, name, report))]
}

function rankOf(node) {
  if (ts.isFunctionDeclaration(node)) return 0
  if (ts.isClassDeclaration(node)) return 1
  return ts.isInterfaceDeclaration(node) && node.members.some((member) => ts.isMethodSignature(member)) ? 1 : 2
}

/** Exports of a module as [name, declaration], in the order of the document. */
function exportsOf(program, entry) {
  const checker = program.getTypeChecker()
  const module = checker.getSymbolAtLocation(program.getSourceFile(join(root, entry)))
  return checker
    .getExportsOfModule(module)
    .map((symbol) => {
      const isAlias = (symbol.flags & ts.SymbolFlags.Alias) !== 0
      const [node] = (isAlias ? checker.getAliasedSymbol(symbol) : symbol).declarations
      return { name: symbol.name, node }
    })
    .map((each) => ({ ...each, place: order.indexOf(each.node.getSourceFile().fileName) }))
    .sort((a, b) => rankOf(a.node) - rankOf(b.node) || a.place - b.place || a.node.pos - b.node.pos)
    .map(({ name, node }) => [name, node])
}

/** The text of docs/api.md. */
export function generate() {
  const program = createProgram()
  const report = new Report()
  const lists = modules.map(({ name, entry }) => ({ name, list: exportsOf(program, entry) }))
  const known = new Set(lists.flatMap(({ list }) => list.map(([name]) => name)))
  const sections = lists.flatMap(({ name, list }) => [
    `## ${name}`,
    ...list.flatMap(([each, node]) => describe(each, node, known, program.getTypeChecker(), report)),
  ])
  if (report.missing.length > 0) throw new ScriptError(report.missing.join('\n'))
  return `${introduction.join('\n')}\n\n${sections.join('\n\n')}\n`
}

async function main() {
  const text = generate()
  if (!process.argv.includes('--check')) return writeFileSync(target, text)
  if (!existsSync(target) || readFileSync(target, 'utf8') !== text) {
    throw new ScriptError('docs/api.md is older than the comments in src: npm run docs')
  }
}

runAsProgram(import.meta.url, main)
