// Builds dist/tulle: one executable of the pinned Node, with the plugin and its native part as
// assets. Steps: config validator (ajv standalone) → native part (gcc) → bundles (esbuild) → the
// build's name, and the launcher that says it (gcc) → code caches, made by running a stage
// executable → the executable itself. Options: --generate stops after the validator.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import esbuild from 'esbuild'
import { inject } from 'postject'
import { encodeTables, nameRules } from '../src/datapath/ruleset.ts'
import { buildIdOf } from './build-id.mjs'
import { makeCaches } from './code-caches.mjs'
import { generateValidator } from './validator.mjs'

const root = fileURLToPath(new URL('..', import.meta.url))
const dist = path.join(root, 'dist')
const work = path.join(dist, 'build')
const { version } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'))
const node = fs.realpathSync(process.execPath)
const verbs = ['STATUS', 'ADD', 'CHECK', 'DEL', 'GC']

/** One asset a verb: what GC needs costs ADD nothing. Names that start less often have one. */
const bundles = [
  ...verbs.map((verb) => ({
    name: `plugin.${verb}`,
    entry: `plugin/main-${verb.toLowerCase()}.ts`,
  })),
  { name: 'chained', entry: 'plugin/main-chained.ts' },
  { name: 'loopback', entry: 'plugin/main-loopback.ts' },
  { name: 'cli', entry: 'cli/main.ts' },
  { name: 'agent', entry: 'agent/main.ts' },
  { name: 'worker', entry: 'plugin/worker/main-worker.ts' },
  { name: 'ipam', entry: 'plugin/main-ipam.ts' },
  { name: 'flannel', entry: 'plugin/main-flannel.ts' },
]
const assetsOf = (ending) =>
  Object.fromEntries(
    bundles
      .map(({ name }) => `${name}.${ending}`)
      .filter((file) => fs.existsSync(path.join(work, file)))
      .map((file) => [file, path.join(work, file)]),
  )

const step = (what) => process.stderr.write(`build: ${what}\n`)

function compileNative() {
  step('native part')
  const include = path.join(root, 'node_modules/node-api-headers/include')
  const folder = path.join(root, 'src/kernel/native')
  const sources = ['tulle.c', 'watch.c', 'serve.c', 'admit.c', 'thread.c'].map((file) =>
    path.join(folder, file),
  )
  const flags = ['-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-s', '-I', include]
  execFileSync('gcc', [...flags, '-o', path.join(dist, 'tulle.node'), ...sources], {
    stdio: 'inherit',
  })
}

/**
 * Static and without a C library, in two segments of one page each: starting it is most of what it
 * does. Its page size is the linker's own: aarch64 has kernels of 4, 16 and 64 KB.
 */
const launcherFlags = [
  ...['-std=gnu11', '-Os', '-Wall', '-Wextra', '-Werror', '-s', '-static', '-no-pie', '-fno-pic'],
  ...['-ffreestanding', '-nostdlib', '-fno-stack-protector', '-fcf-protection=none'],
  ...['-fno-asynchronous-unwind-tables', '-fno-tree-loop-distribute-patterns'],
  ...['-Wl,-z,noseparate-code', '-Wl,-z,norelro', '-Wl,-z,noexecstack', '-Wl,--build-id=none'],
].filter((flag) => process.arch === 'x64' || !flag.startsWith('-fcf-'))
const launcherFolder = path.join(root, 'src/kernel/native')
const launcherFiles = fs
  .readdirSync(launcherFolder)
  .filter((file) => /^launcher.*\.[ch]$/.test(file))

/** What a kernel answers to a pod's calls, for the worker to practise on. */
function recordRehearsal() {
  step('rehearsal')
  const file = path.join(work, 'rehearsal.json')
  execFileSync(process.execPath, [path.join(root, 'scripts/rehearsal.ts'), file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  return file
}

function compileLauncher(build) {
  step('launcher')
  const sources = launcherFiles.filter((file) => file.endsWith('.c'))
  const text = (name, value) => `-D${name}=${JSON.stringify(value)}`
  const defines = [text('TULLE_VERSION', version), text('TULLE_BUILD', build)]
  execFileSync(
    'gcc',
    [...launcherFlags, ...defines, '-o', path.join(dist, 'launcher'), ...sources.sort()],
    { cwd: launcherFolder, stdio: 'inherit' },
  )
}

/** Boot is there as the stage's, which is of the same sources and does not hold the name itself. */
function nameBuild() {
  const read = (file) => fs.readFileSync(file)
  const texts = [...bundles.map(({ name }) => `${name}.js`), 'boot-stage.js']
  return buildIdOf(version, {
    node: `${process.version} ${process.arch}`,
    options: JSON.stringify([execArgv, launcherFlags]),
    'tulle.node': read(path.join(dist, 'tulle.node')),
    ...Object.fromEntries(texts.map((file) => [file, read(path.join(work, file))])),
    ...Object.fromEntries(
      launcherFiles.map((file) => [file, read(path.join(launcherFolder, file))]),
    ),
  })
}

const common = {
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  minify: true,
  legalComments: 'none',
}

async function bundle() {
  step('bundles')
  const cacheVariable = 'TULLE_STAGE_CACHE'
  const define = { TULLE_VERSION: JSON.stringify(version) }
  const boot = {
    ...common,
    entryPoints: [path.join(root, 'src/main.ts')],
    logOverride: { 'empty-import-meta': 'silent' },
  }
  const pluginOf = ({ name, entry }) =>
    esbuild.build({
      ...common,
      entryPoints: [path.join(root, 'src', entry)],
      outfile: path.join(work, `${name}.js`),
      charset: 'ascii',
      metafile: true,
      define: {
        TULLE_TABLES: JSON.stringify(encodeTables()),
        TULLE_RULES: JSON.stringify(nameRules()),
      },
      // A function of what the boot hands in; wrapped here, as joining strings at start takes time.
      banner: { js: '(function(exports,require,module){' },
      footer: { js: '})' },
    })
  const plugins = await Promise.all(bundles.map(pluginOf))
  await esbuild.build({
    ...boot,
    outfile: path.join(work, 'boot-stage.js'),
    define: {
      ...define,
      TULLE_BUILD: JSON.stringify('stage'),
      TULLE_CACHE_VARIABLE: JSON.stringify(cacheVariable),
    },
  })
  const build = nameBuild()
  await esbuild.build({
    ...boot,
    outfile: path.join(work, 'boot.js'),
    define: {
      ...define,
      TULLE_BUILD: JSON.stringify(build),
      TULLE_CACHE_VARIABLE: 'undefined',
    },
  })
  const ofPlugin = plugins.filter((_, at) => bundles[at].entry.startsWith('plugin/'))
  const inputs = new Set(ofPlugin.flatMap(({ metafile }) => Object.keys(metafile.inputs)))
  const file = path.join(work, 'plugin-inputs.json')
  fs.writeFileSync(file, JSON.stringify([...inputs].sort(), undefined, 1))
  return { cacheVariable, build }
}

/**
 * Debug symbols are a fifth of the file; strip goes before injection, as a stripped blob would not
 * start.
 */
function stripNode() {
  const stripped = path.join(work, `node-${process.version}`)
  if (!fs.existsSync(stripped)) {
    step('strip node')
    execFileSync('strip', ['--strip-all', '-o', `${stripped}.part`, node])
    fs.renameSync(`${stripped}.part`, stripped)
  }
  return stripped
}

/**
 * V8 options belong to the code cache: it is refused where they differ from those that it was made
 * under. A young generation of 1 MB, which is what V8 starts with, fills up four times in an ADD,
 * and emptying it takes 0.2 to 1 ms each; of 8 MB, memory that is not touched is not there.
 */
const execArgv = [
  '--no-rehash-snapshot',
  '--v8-pool-size=0',
  '--disable-sigusr1',
  '--no-short-builtin-calls',
  '--disable-warning=ExperimentalWarning',
  '--min-semi-space-size=8',
]

async function pack(boot, output, assets) {
  const config = path.join(work, 'sea.json')
  const blob = path.join(work, 'sea.blob')
  fs.writeFileSync(
    config,
    JSON.stringify({
      main: path.join(work, boot),
      output: blob,
      disableExperimentalSEAWarning: true,
      useCodeCache: true,
      execArgv,
      execArgvExtension: 'none',
      assets,
    }),
  )
  // With the same V8 options, or the boot's own code cache would be refused at every start.
  execFileSync(process.execPath, [...execArgv, '--experimental-sea-config', config], {
    stdio: 'pipe',
  })
  const part = `${output}.part`
  fs.copyFileSync(stripNode(), part)
  fs.chmodSync(part, 0o755)
  await quietly(() =>
    inject(part, 'NODE_SEA_BLOB', fs.readFileSync(blob), {
      sentinelFuse: 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2',
    }),
  )
  fs.renameSync(part, output)
}

/** postject talks to the console. */
async function quietly(work) {
  const { log, warn } = console
  console.log = console.warn = () => undefined
  try {
    await work()
  } finally {
    Object.assign(console, { log, warn })
  }
}

/**
 * A child's failure in a few lines: its command and the end of what it said (minified sources are
 * left out).
 */
process.on('uncaughtException', (error) => {
  const said = String(error.stderr ?? error.stack ?? error)
  const lines = said.split('\n').filter((line) => line.length < 400)
  console.error(`build: failed: ${error.message.split('\n')[0]}\n${lines.slice(0, 12).join('\n')}`)
  process.exit(1)
})

fs.mkdirSync(work, { recursive: true })
step('config validator')
await generateValidator(root)
if (!process.argv.includes('--generate')) {
  compileNative()
  const { cacheVariable, build } = await bundle()
  compileLauncher(build)
  const assets = {
    ...assetsOf('js'),
    'tulle.node': path.join(dist, 'tulle.node'),
    launcher: path.join(dist, 'launcher'),
  }
  const stage = path.join(work, 'stage')
  step('stage executable')
  await pack('boot-stage.js', stage, assets)
  step('code caches')
  makeCaches({ stage, cacheVariable, work, verbs })
  fs.rmSync(stage)
  const recorded = { 'rehearsal.json': recordRehearsal() }
  step('executable')
  await pack('boot.js', path.join(dist, 'tulle'), {
    ...assets,
    ...assetsOf('cache'),
    ...recorded,
  })
  const bytes = fs.statSync(path.join(dist, 'tulle')).size
  step(`dist/tulle ${(bytes / 1e6).toFixed(1)} MB, Node ${process.version}, build ${build}`)
}
