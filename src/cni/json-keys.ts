const token = /"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],:]/g

/** One open object or list; `key` is where an object is. */
type Level = { readonly isObject: boolean; key: string | undefined; isKeyNext: boolean }

/**
 * Keys that an object within JSON text has more than once: JSON.parse keeps the last in silence.
 * `path` leads to the object, without regard to case; the text is known to be JSON.
 */
export function repeatedKeys(text: string, path: readonly string[]): readonly string[] {
  const keys = keysAt(text, path)
  return keys.filter((key, at) => keys.indexOf(key) !== at)
}

function keysAt(text: string, path: readonly string[]): readonly string[] {
  const levels: Level[] = []
  const found: string[] = []
  for (const [word] of text.matchAll(token)) {
    const key = step(levels, word)
    if (key !== undefined && isAt(levels, path)) found.push(key)
  }
  return found
}

/** Goes one token further; a key, if it was one. */
function step(levels: Level[], word: string): string | undefined {
  const level = levels.at(-1)
  const isObject = word === '{'
  if (isObject || word === '[') levels.push({ isObject, key: undefined, isKeyNext: isObject })
  else if (word === '}' || word === ']') levels.pop()
  else if (level && word === ',') level.isKeyNext = level.isObject
  else if (level && word === ':') level.isKeyNext = false
  else if (level?.isKeyNext) {
    level.key = JSON.parse(word) as string
    return level.key
  }
  return undefined
}

const isAt = (levels: readonly Level[], path: readonly string[]): boolean =>
  levels.length === path.length + 1 &&
  path.every((key, at) => levels[at]?.key?.toLowerCase() === key.toLowerCase())
