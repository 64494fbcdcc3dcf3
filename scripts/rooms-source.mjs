// @ts-check
// What one source file imports and touches, read from its syntax tree, and the laws that can be
// judged by looking at that file alone.
import { isBuiltin } from 'node:module'
import ts from 'typescript'
import { actingLayer } from './rooms-list.mjs'

/**
 * @typedef {Readonly<{ specifier: string, line: number, typeOnly: boolean }>} Import
 * @typedef {Readonly<{ name: string, line: number }>} Mention
 * @typedef {object} Source
 * @property {string} file
 * @property {readonly Import[]} imports
 * @property {readonly Mention[]} mentions of the platform, of clock and chance, of native code
 * @property {number | undefined} reExportLine where it passes on what another file exports
 * @property {boolean} hasOwn whether it holds anything but imports and re-exports
 *
 * @typedef {Readonly<{ file: string, line: number, law: string, found: string, allowed: string }>}
 *   Breach
 * @typedef {Readonly<{ room: string, layer: number }>} Place
 */

/** What a pure room may not touch. A name that the file declares itself is its own. */
const platform = new Set(
  (
    'process performance crypto console fetch require globalThis ' +
    'setTimeout setInterval setImmediate'
  ).split(' '),
)
const clockAndChance = new Set(['Date.now', 'Math.random', 'new Date()', 'Date()'])
const nativeCode = 'native code'

/**
 * @param {string} file
 * @param {string} text
 * @returns {Source}
 */
export function readSource(file, text) {
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const lineOf = (/** @type {ts.Node} */ node) =>
    tree.getLineAndCharacterOfPosition(node.getStart(tree)).line + 1
  /** @type {Import[]} */
  const imports = []
  /** @type {Mention[]} */
  const mentions = []
  const declared = new Set()
  const visit = (/** @type {ts.Node} */ node) => {
    const found = importOf(node)
    if (found !== undefined) imports.push({ ...found, line: lineOf(node) })
    const name = mentionOf(node)
    if (name !== undefined) mentions.push({ name, line: lineOf(node) })
    const own = declaredName(node)
    if (own !== undefined) declared.add(own)
    ts.forEachChild(node, visit)
  }
  visit(tree)
  const reExport = tree.statements.find(isReExport)
  return {
    file,
    imports,
    mentions: mentions.filter(({ name }) => !declared.has(name)),
    reExportLine: reExport && lineOf(reExport),
    hasOwn: tree.statements.some((node) => !isReExport(node) && !ts.isImportDeclaration(node)),
  }
}

/**
 * @param {ts.Node} node
 * @returns {Omit<Import, 'line'> | undefined}
 */
function importOf(node) {
  if (ts.isImportDeclaration(node) && ts.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, typeOnly: isTypeOnlyImport(node) }
  }
  if (isReExport(node) && node.moduleSpecifier && ts.isStringLiteral(node.moduleSpecifier)) {
    return { specifier: node.moduleSpecifier.text, typeOnly: node.isTypeOnly }
  }
  if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
    const literal = node.argument.literal
    return ts.isStringLiteral(literal) ? { specifier: literal.text, typeOnly: true } : undefined
  }
  if (ts.isCallExpression(node)) {
    const [argument] = node.arguments
    const called = node.expression
    const isRequire = ts.isIdentifier(called) && called.text === 'require'
    const isImport = called.kind === ts.SyntaxKind.ImportKeyword
    if ((isImport || isRequire) && argument !== undefined && ts.isStringLiteralLike(argument)) {
      return { specifier: argument.text, typeOnly: false }
    }
  }
  return undefined
}

/** @param {ts.ImportDeclaration} node */
function isTypeOnlyImport({ importClause: clause }) {
  if (clause === undefined) return false // for its side effects
  if (clause.isTypeOnly) return true
  const bindings = clause.namedBindings
  const isAllTypes =
    bindings !== undefined &&
    ts.isNamedImports(bindings) &&
    bindings.elements.every((element) => element.isTypeOnly)
  return clause.name === undefined && isAllTypes
}

/**
 * @param {ts.Node} node
 * @returns {node is ts.ExportDeclaration}
 */
function isReExport(node) {
  return ts.isExportDeclaration(node) && node.moduleSpecifier !== undefined
}

/** @param {ts.Node} node */
function mentionOf(node) {
  if (ts.isPropertyAccessExpression(node)) {
    const text = node.getText()
    if (clockAndChance.has(text)) return text
    return node.name.text === 'dlopen' ? nativeCode : undefined
  }
  if (ts.isNewExpression(node) && node.expression.getText() === 'Date') {
    return node.arguments === undefined || node.arguments.length === 0 ? 'new Date()' : undefined
  }
  if (ts.isCallExpression(node) && node.expression.getText() === 'Date') return 'Date()'
  if (ts.isStringLiteralLike(node) && node.text.endsWith('.node')) return nativeCode
  if (ts.isIdentifier(node) && platform.has(node.text) && isValueUse(node)) return node.text
  return undefined
}

/**
 * Whether an identifier stands for a value, and is not a member's name or part of a type.
 * @param {ts.Identifier} node
 */
function isValueUse(node) {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node
  if (ts.isPropertyAssignment(parent)) return parent.initializer === node
  if (ts.isBindingElement(parent)) return parent.initializer === node
  return !(ts.isTypeElement(parent) || ts.isClassElement(parent) || ts.isTypeNode(parent))
}

/** @param {ts.Node} node */
function declaredName(node) {
  const isDeclaration =
    ts.isVariableDeclaration(node) ||
    ts.isParameter(node) ||
    ts.isBindingElement(node) ||
    ts.isFunctionDeclaration(node) ||
    ts.isImportSpecifier(node) ||
    ts.isNamespaceImport(node) ||
    ts.isImportClause(node)
  if (!isDeclaration || node.name === undefined) return undefined
  return ts.isIdentifier(node.name) ? node.name.text : undefined
}

/**
 * The laws that one file can break by itself.
 * @param {Source} source
 * @param {Place} place
 * @returns {readonly Breach[]}
 */
export function breachesOfSource(source, place) {
  const { file } = source
  return [
    ...importBreaches(source, place).map((breach) => ({ file, ...breach })),
    ...mentionBreaches(source, place).map((breach) => ({ file, ...breach })),
    ...barrelBreaches(source).map((breach) => ({ file, ...breach })),
  ]
}

/**
 * @param {Source} source
 * @param {Place} place
 * @returns {readonly Omit<Breach, 'file'>[]}
 */
function importBreaches({ imports }, { room, layer }) {
  const values = imports.filter(({ specifier, typeOnly }) => isBuiltin(specifier) && !typeOnly)
  return values.flatMap(({ specifier, line }) => {
    const found = `${room} imports ${specifier}`
    if (layer < actingLayer) {
      const allowed = '`import type`; values come in as arguments'
      return [{ line, law: 'a pure room imports no node: value', found, allowed }]
    }
    if (/^(node:)?child_process$/.test(specifier) && layer !== actingLayer) {
      return [{ line, law: 'child_process', found, allowed: 'rooms of L3' }]
    }
    return []
  })
}

/**
 * @param {Source} source
 * @param {Place} place
 * @returns {readonly Omit<Breach, 'file'>[]}
 */
function mentionBreaches({ mentions }, { room, layer }) {
  return mentions.flatMap(({ name, line }) => {
    const found = `${room} uses ${name}`
    if (name === nativeCode) {
      return room === 'kernel' ? [] : [{ line, law: nativeCode, found, allowed: 'kernel' }]
    }
    if (layer >= actingLayer) return []
    const allowed = 'time, chance and the world as arguments'
    return [{ line, law: 'a pure room has no clock, chance or platform', found, allowed }]
  })
}

/**
 * A barrel hides what is imported from where: law 1 could not be read off the imports.
 * @param {Source} source
 * @returns {readonly Omit<Breach, 'file'>[]}
 */
function barrelBreaches({ file, reExportLine, hasOwn }) {
  const isBarrel = reExportLine !== undefined && (/\/index\.\w+$/.test(file) || !hasOwn)
  if (!isBarrel) return []
  const allowed = 'importing the file that has it'
  return [{ line: reExportLine, law: 'no barrels', found: `${file} re-exports`, allowed }]
}
