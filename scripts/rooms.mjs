// @ts-check
// The laws of the rooms, held against the real imports of src/.
//
//   node scripts/rooms.mjs          prints every breach, exits 1 if there is one
//   node scripts/rooms.mjs --map    prints the map for src/README.md
import { globSync, readFileSync } from 'node:fs'
import { posix } from 'node:path'
import { layerNumber, placeOf, roomOf, rooms } from './rooms-list.mjs'
import { breachesOfSource, readSource } from './rooms-source.mjs'

/**
 * @typedef {ReadonlyMap<string, string>} Tree path from the root of the repository → text
 * @typedef {import('./rooms-source.mjs').Source} Source
 * @typedef {import('./rooms-source.mjs').Breach} Breach
 * @typedef {Readonly<{ target: string, line: number }>} Edge
 */

/** wire/netlink is the base of its neighbours in wire/: the one import between siblings. */
const siblingBase = 'wire/netlink'
/** What a plugin may hold, because it starts for every pod: its weight is start-up time. */
const pluginRooms = new Set([
  ...['plugin', 'base', 'wire/netlink', 'wire/rtnl', 'wire/nft', 'wire/conntrack'],
  ...['cluster', 'cni', 'ipam', 'datapath', 'overlay', 'kernel', 'store'],
])
const wiringRooms = new Set(['plugin', 'agent', 'cli'])

/**
 * Every breach of the laws in a tree of `src/` and of what enters it (`test/`, `scripts/`).
 * @param {Tree} tree
 * @returns {readonly Breach[]}
 */
export function breachesOf(tree) {
  /** @type {Map<string, Source>} */
  const sources = new Map()
  for (const [file, text] of tree) if (isCode(file)) sources.set(file, readSource(file, text))
  const edges = edgesOf(sources)
  return [
    ...[...tree.keys()].filter(isInSrc).flatMap(placeBreaches),
    ...[...sources.values()]
      .filter(({ file }) => isInSrc(file))
      .flatMap((source) => [
        ...edgeBreaches(source, sources),
        ...breachesOfSource(source, placeOf(source.file)),
      ]),
    ...pluginBreaches(edges),
    ...unreachedBreaches(sources, edges),
  ]
}

/** @param {string} file */
const isInSrc = (file) => file.startsWith('src/')
/** @param {string} file */
const isCode = (file) => /\.[mc]?[jt]s$/.test(file) && !/\/generated\/[^/]+\.js$/.test(file)

/**
 * Where a relative import leads, as a path from the root. What the build generates need not be
 * there: its declarations stand for it.
 * @param {string} file
 * @param {string} specifier
 */
const resolve = (file, specifier) =>
  posix.join(posix.dirname(file), specifier).replace(/(\/generated\/[^/]+)\.js$/, '$1.d.ts')

/** @param {ReadonlyMap<string, Source>} sources */
function edgesOf(sources) {
  /** @type {Map<string, readonly Edge[]>} */
  const edges = new Map()
  for (const { file, imports } of sources.values()) {
    const near = imports.filter(({ specifier }) => specifier.startsWith('.'))
    edges.set(
      file,
      near.map(({ specifier, line }) => ({ target: resolve(file, specifier), line })),
    )
  }
  return edges
}

/**
 * Every file stands in a known room, and native code in kernel/native.
 * @param {string} file
 * @returns {readonly Breach[]}
 */
function placeBreaches(file) {
  const room = roomOf(file)
  /** @type {Breach[]} */
  const found = []
  if (layerNumber(room) === undefined && !file.endsWith('.md')) {
    const allowed = rooms.map((known) => known.room).join(' ')
    found.push({ file, line: 1, law: 'known room', found: room, allowed })
  }
  if (/\.(c|h|cc|cpp|s|node)$/i.test(file) && !file.startsWith('src/kernel/native/')) {
    found.push({ file, line: 1, law: 'native code', found: file, allowed: 'src/kernel/native/' })
  }
  return found
}

/**
 * Laws 1 and 4: downwards only; kernel only from the wiring.
 * @param {Source} source
 * @param {ReadonlyMap<string, Source>} sources
 * @returns {readonly Breach[]}
 */
function edgeBreaches(source, sources) {
  const room = roomOf(source.file)
  /** @type {Breach[]} */
  const found = []
  for (const { specifier, line } of source.imports) {
    if (!specifier.startsWith('.')) continue
    const target = resolve(source.file, specifier)
    const base = { file: source.file, line, found: `${room} imports ${target}` }
    if (!isInSrc(target)) {
      found.push({ ...base, law: 'src/ stands alone', allowed: 'files under src/' })
      continue
    }
    if (isCode(target) && !sources.has(target)) {
      found.push({ ...base, law: 'imports name files', allowed: 'a file that is there' })
      continue
    }
    const targetRoom = roomOf(target)
    if (targetRoom === 'kernel' && layerNumber(room) === 4 && !wiringRooms.has(room)) {
      found.push({ ...base, law: 'kernel from the wiring only', allowed: 'plugin agent cli' })
    } else if (!mayImport(room, targetRoom)) {
      const allowed = rooms.filter((known) => mayImport(room, known.room))
      const names = allowed.map((known) => known.room).join(' ')
      found.push({ ...base, law: 'imports go downwards', allowed: names || 'nothing' })
    }
  }
  return found
}

/**
 * @param {string} room
 * @param {string} target
 */
function mayImport(room, target) {
  if (room === target) return true
  const from = layerNumber(room)
  const to = layerNumber(target)
  if (from === undefined || to === undefined) return true // reported as an unknown room
  return to < from || (target === siblingBase && room.startsWith('wire/'))
}

/**
 * Law 3: what the plugin reaches, over however many imports.
 * @param {ReadonlyMap<string, readonly Edge[]>} edges
 * @returns {readonly Breach[]}
 */
function pluginBreaches(edges) {
  const starts = [...edges.keys()].filter((file) => file.startsWith('src/plugin/'))
  const from = reach(starts, edges)
  /** @type {Breach[]} */
  const found = []
  for (const [file, importer] of from) {
    const isNews = importer !== undefined && pluginRooms.has(roomOf(importer.file))
    if (!isNews || !isInSrc(file) || pluginRooms.has(roomOf(file))) continue
    const chain = chainTo(file, from).join(' → ')
    const allowed = [...pluginRooms].join(' ')
    found.push({ ...importer, law: 'what the plugin reaches', found: chain, allowed })
  }
  return found
}

/**
 * Law 5: no dead file. Mains, tests and the build's scripts are where reading starts.
 * @param {ReadonlyMap<string, Source>} sources
 * @param {ReadonlyMap<string, readonly Edge[]>} edges
 * @returns {readonly Breach[]}
 */
function unreachedBreaches(sources, edges) {
  const isEntry = (/** @type {string} */ file) =>
    !isInSrc(file) || /^src\/([^/]+\/)?main[^/]*$/.test(file)
  const reached = reach([...edges.keys()].filter(isEntry), edges)
  return [...sources.keys()]
    .filter((file) => isInSrc(file) && !reached.has(file))
    .map((file) => ({
      file,
      line: 1,
      law: 'every file is reached',
      found: 'no main, test or script leads here',
      allowed: 'remove it, or test it',
    }))
}

/**
 * Every file that can be reached, with the import that led there first.
 * @param {readonly string[]} starts
 * @param {ReadonlyMap<string, readonly Edge[]>} edges
 */
function reach(starts, edges) {
  /** @type {Map<string, { file: string, line: number } | undefined>} */
  const from = new Map(starts.map((file) => [file, undefined]))
  const queue = [...starts]
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    for (const { target, line } of edges.get(file) ?? []) {
      if (from.has(target)) continue
      from.set(target, { file, line })
      queue.push(target)
    }
  }
  return from
}

/**
 * @param {string} file
 * @param {ReadonlyMap<string, { file: string } | undefined>} from
 */
function chainTo(file, from) {
  const chain = [file]
  for (let step = from.get(file); step !== undefined; step = from.get(step.file))
    chain.unshift(step.file)
  return chain
}

/**
 * The map: each layer, each room that has files, and the rooms that it really imports.
 * @param {Tree} tree
 */
export function drawMap(tree) {
  const lines = ['| layer | room | what it is | imports |', '|---|---|---|---|']
  const used = roomImports(tree)
  for (const { room, layer, text } of [...rooms].reverse()) {
    const imports = used.get(room)
    if (imports === undefined) continue
    const names = rooms.filter((known) => imports.has(known.room)).map((known) => known.room)
    lines.push(`| L${layer} | \`${room}/\` | ${text} | ${names.join(' ') || '–'} |`)
  }
  return `${lines.join('\n')}\n`
}

/** @param {Tree} tree */
function roomImports(tree) {
  /** @type {Map<string, Set<string>>} */
  const used = new Map()
  for (const [file, text] of tree) {
    if (!isInSrc(file) || !isCode(file)) continue
    const room = roomOf(file)
    const imports = used.get(room) ?? new Set()
    used.set(room, imports)
    for (const { specifier } of readSource(file, text).imports) {
      const target = specifier.startsWith('.') ? roomOf(resolve(file, specifier)) : room
      if (target !== room) imports.add(target)
    }
  }
  return used
}

/** @returns {Tree} */
function readTree() {
  const files = globSync(['src/**', 'test/**/*.ts', 'scripts/*.{ts,mjs}'], { withFileTypes: true })
  const paths = files
    .filter((entry) => entry.isFile())
    .map((entry) => posix.join(posix.relative(process.cwd(), entry.parentPath), entry.name))
  return new Map(paths.sort().map((path) => [path, readFileSync(path, 'utf8')]))
}

if (import.meta.main) {
  const tree = readTree()
  if (process.argv.includes('--map')) {
    process.stdout.write(drawMap(tree))
  } else {
    const breaches = breachesOf(tree)
    for (const { file, line, law, found, allowed } of breaches) {
      console.log(`${file}:${line}: ${law}: ${found}\n  allowed: ${allowed}`)
    }
    if (breaches.length > 0) process.exitCode = 1
  }
}
