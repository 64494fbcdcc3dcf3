// @ts-check
// The laws of the text that need the syntax tree of TypeScript or JavaScript.
import ts from 'typescript'

/** @typedef {import('./tidy.mjs').Breach} Breach */

export const functionLinesMax = 70

/**
 * @param {string} file
 * @param {string} text
 * @returns {readonly Breach[]}
 */
export function breachesOfCode(file, text) {
  const tree = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const lineOf = (/** @type {number} */ position) =>
    tree.getLineAndCharacterOfPosition(position).line + 1
  /** @type {Breach[]} */
  const found = []
  const visit = (/** @type {ts.Node} */ node) => {
    const line = lineOf(node.getStart(tree))
    if (node.kind === ts.SyntaxKind.AnyKeyword) {
      found.push({ line, law: 'the type any', remedy: 'unknown, and parse it' })
    }
    const banned = bannedCode(file, node, tree)
    if (banned !== undefined) found.push({ line, ...banned })
    const lines = lineOf(node.getEnd()) - line + 1
    if (isFunction(node) && lines > functionLinesMax) {
      const remedy = `${functionLinesMax} at most: one screen`
      found.push({ line, law: `a function of ${lines} lines`, remedy })
    }
    // Unlike forEachChild, this goes into the types of JSDoc as well.
    for (const child of node.getChildren(tree)) visit(child)
  }
  visit(tree)
  return [...found, ...commentBreaches(text)]
}

/** @param {ts.Node} node */
function isFunction(node) {
  return ts.isFunctionLike(node) && 'body' in node && node.body !== undefined
}

/**
 * Words that are code, with what to write instead.
 * @param {string} file
 * @param {ts.Node} node
 * @param {ts.SourceFile} tree
 */
function bannedCode(file, node, tree) {
  if (ts.isDebuggerStatement(node)) return { law: 'debugger', remedy: 'remove it' }
  if (!ts.isPropertyAccessExpression(node)) return undefined
  const text = node.getText(tree)
  if (file.startsWith('src/') && /^console\./.test(text)) {
    return { law: text, remedy: 'return it; a main writes to process.stdout or process.stderr' }
  }
  if (file.startsWith('test/') && /^(t|test|tap)\.only$/.test(text)) {
    return { law: text, remedy: 'all tests run: remove it' }
  }
  return undefined
}

/**
 * @param {string} text
 * @returns {readonly Breach[]}
 */
function commentBreaches(text) {
  return text.split('\n').flatMap((line, index) =>
    /^\s*(\/\/|\/\*|\*).*@ts-(ignore|nocheck)\b/.test(line)
      ? [
          {
            line: index + 1,
            law: 'a silenced compiler',
            remedy: '@ts-expect-error and the reason',
          },
        ]
      : [],
  )
}
