import { readdirSync } from 'node:fs'
import { CniFault, code, fault } from '../cni/fault.ts'
import { type AttachmentId, nameOf } from '../datapath/attachment.ts'
import { RouteSocket } from '../kernel/route-socket.ts'
import { add } from './add.ts'
import { check } from './check.ts'
import { type Call, readCall, withExistingStore, withStore } from './context.ts'
import { del } from './del.ts'
import { runDelegate } from './delegate.ts'
import { readText, removeFile } from './files.ts'
import { delegateConf, outlineOf, readSubnetEnv } from './flannel-conf.ts'
import { gc } from './gc.ts'
import { startLife } from './lease.ts'
import type { PluginName } from './names.ts'
import { runToEnd } from './pausing.ts'
import { refusePolicyFor } from './policy.ts'
import { refuseOlder } from './refusals.ts'
import { status } from './status.ts'
import { validAttachments } from './valid.ts'

// flannel makes a configuration of subnet.env and its key "delegate", and hands it to another
// plugin: one of our own names in this process, any other through CNI_PATH.

type Json = Readonly<Record<string, unknown>>

/** Plugins that make interfaces and that we are ourselves. */
const own: readonly PluginName[] = ['tulle', 'bridge', 'ptp']
const ownName = (type: unknown): PluginName | undefined => own.find((name) => name === type)

export function addFlannel(call: Call): string {
  const conf = delegateConf(call.config, readSubnetEnv(call.config))
  if (ownName(conf.type) === undefined) refusePolicyFor(call, String(conf.type))
  const keeper = keeperOf(call)
  const record = JSON.stringify(conf)
  const known = withStore(keeper, (store) => {
    startLife(store, new RouteSocket(call.native, -1, 'the host'))
    const before = store.delegates.of(call.id)
    if (before === undefined) store.delegates.put(call.id, record)
    return before
  })
  if (known !== undefined && ownName(conf.type) === undefined) throw attachedAlready(call)
  try {
    const result = run(call, conf)
    // A process that was killed had left a record, and no attachment.
    if (known !== undefined) withStore(keeper, ({ delegates }) => delegates.put(call.id, record))
    return result ?? ''
  } catch (refusal) {
    // What stood before this call is there still.
    if (known === undefined) withStore(keeper, ({ delegates }) => delegates.drop(call.id))
    throw refusal
  }
}

const attachedAlready = ({ id }: Call): Error =>
  fault(
    code.alreadyAttached,
    'container is attached already',
    `container ${id.container} has ${id.ifname} on network ${id.network}; call DEL first`,
  )

/** With what ADD was done with: subnet.env may be another by now, or gone. */
export function delFlannel(asked: Call): void {
  const call: Call = { ...asked, environment: { ...asked.environment, verb: 'DEL' } }
  const keeper = keeperOf(call)
  const recorded = recordedConf(call)
  const conf = recorded ?? outlineOf(call.config)
  if (recorded || ownName(conf.type)) run(call, conf)
  withExistingStore(keeper, ({ delegates }) => delegates.drop(call.id))
  if (scratchConf(call)) removeFile(scratchFile(call))
}

export function checkFlannel(call: Call): void {
  const { config } = call
  refuseOlder(call, '0.4.0')
  const { cniVersion, prevResult } = config
  const conf = recordedConf(call) ?? delegateConf(config, readSubnetEnv(config))
  run(call, { ...conf, cniVersion, ...(prevResult === undefined ? {} : { prevResult }) })
}

/**
 * Every attachment that is not listed goes with the configuration that it came with. Goes on after
 * a fault and reports at the end (specification, "GC").
 */
export function gcFlannel(call: Call): void {
  const listed = validAttachments(call)
  const valid = new Set(listed.map(nameOf))
  const containers = new Set(listed.map(({ container }) => container))
  const recorded = withExistingStore(keeperOf(call), (store) =>
    store.delegates.all(call.id.network),
  )
  const made = scratchContainers(call).filter((container) => !containers.has(container))
  const stale = [
    ...(recorded ?? []).filter((id) => !valid.has(nameOf(id))),
    ...made.map((container) => ({ ...call.id, container, ifname: 'eth0' })),
  ]
  const keys = ['cni.dev/valid-attachments', 'cni.dev/attachments'] as const
  const lists = keys.flatMap((key) => (call.config[key] ? [[key, call.config[key]]] : []))
  const conf = { ...outlineOf(call.config), ...Object.fromEntries(lists) }
  const faults: unknown[] = []
  for (const work of [
    ...stale.map((id) => () => delFlannel(ofAttachment(call, id))),
    () => void run(call, conf),
  ])
    try {
      work()
    } catch (refusal) {
      faults.push(refusal)
    }
  if (faults.length === 1) throw faults[0]
  if (faults.length > 1)
    throw new AggregateError(faults, `Cannot collect everything of network ${call.id.network}`)
}

/** Without subnet.env no ADD can be served: to STATUS that is what "try again later" means. */
export function statusFlannel(call: Call): void {
  refuseOlder(call, '1.1.0')
  try {
    run(call, delegateConf(call.config, readSubnetEnv(call.config)))
  } catch (refusal) {
    if (!(refusal instanceof CniFault) || refusal.fault.code !== code.tryAgainLater) throw refusal
    throw fault(code.unavailable, 'the plugin cannot serve ADD now', refusal.fault.details)
  }
}

const ofAttachment = (call: Call, id: AttachmentId): Call => ({
  ...call,
  id,
  environment: { ...call.environment, ...id, verb: 'DEL', netns: '' },
})

/** Has the verb done by the plugin that the configuration names. */
function run(call: Call, conf: Json): string | undefined {
  const { verb } = call.environment
  const input = JSON.stringify(conf)
  const plugin = ownName(conf.type)
  if (plugin === undefined)
    return runDelegate(call, { key: 'delegate.type', type: String(conf.type), verb, input })
  const inner = readCall({ ...call, plugin }, call.environment, input)
  if (verb === 'ADD') return runToEnd(add(inner))
  if (verb === 'DEL') runToEnd(del(inner))
  else if (verb === 'CHECK') check(inner)
  else if (verb === 'GC') gc(inner)
  else status(inner)
  return undefined
}

/** The call whose store has the record: the delegate's own, wherever its leases are. */
function keeperOf(call: Call): Call {
  const environment = { ...call.environment, verb: 'DEL' } as const
  return readCall(
    { ...call, plugin: 'bridge' },
    environment,
    JSON.stringify(outlineOf(call.config)),
  )
}

const recordedConf = (call: Call): Json | undefined => {
  const known = withExistingStore(keeperOf(call), ({ delegates }) => delegates.of(call.id))
  return known === undefined ? scratchConf(call) : (JSON.parse(known) as Json)
}

const scratchFolder = ({ config }: Call): string => config.dataDir || '/var/lib/cni/flannel'
const scratchFile = (call: Call): string => `${scratchFolder(call)}/${call.id.container}`

/** What flannel's own plugin kept of its delegate, for pods that it made. */
function scratchConf(call: Call): Json | undefined {
  try {
    const conf: unknown = JSON.parse(readText(scratchFile(call)) ?? 'null')
    const isConf = typeof conf === 'object' && conf !== null && 'name' in conf
    return isConf && conf.name === call.id.network ? (conf as Json) : undefined
  } catch {
    // Empty or cut after a power loss: what is in the configuration must do.
    return undefined
  }
}

function scratchContainers(call: Call): readonly string[] {
  let names: readonly string[]
  try {
    names = readdirSync(scratchFolder(call))
  } catch {
    return []
  }
  return names.filter((container) => scratchConf({ ...call, id: { ...call.id, container } }))
}
