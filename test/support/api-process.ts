// The stand-in as a process of its own, so that agents in other namespaces reach it:
//
//   node test/support/api-process.ts --listen 10.0.0.1:6443 --control /tmp/x.sock --nodes 5000
//     --node-bytes 12000 --pods 0 --updates 50
//
// It prints "ready" and its address. What happens to it is told over HTTP: objects through the API
// itself, faults by POST /stand-in/drop, hang, recover, compact, end-watches. A control socket
// answers both, and is reached from every network namespace.
import { parseArgs } from 'node:util'
import { nodeObject, podObject } from './api-objects.ts'
import { ApiServer } from './api-server.ts'

const { values } = parseArgs({
  options: {
    listen: { type: 'string', default: '127.0.0.1:0' },
    control: { type: 'string' },
    nodes: { type: 'string', default: '0' },
    'node-bytes': { type: 'string', default: '12000' },
    pods: { type: 'string', default: '0' },
    'pod-bytes': { type: 'string', default: '3600' },
    updates: { type: 'string', default: '0' },
  },
})

const server = new ApiServer()
const nodes = Number(values.nodes)
for (let index = 0; index < nodes; index++)
  server.store.put('/nodes', nodeObject(index, { bytes: Number(values['node-bytes']) }))
for (let index = 0; index < Number(values.pods); index++)
  server.store.put('/pods', podObject(index, { bytes: Number(values['pod-bytes']) }))

const split = values.listen.lastIndexOf(':')
const host = values.listen.slice(0, split)
await server.listen({ host, port: Number(values.listen.slice(split + 1)) })
if (values.control !== undefined) await server.listen({ path: values.control })

// Status noise, as kubelets make it: heartbeats that no route depends on.
const updates = Number(values.updates)
let beat = 0
if (updates > 0 && nodes > 0)
  setInterval(() => {
    const stored = server.store.get('/nodes', `node-${beat % nodes}`)
    const conditions = [{ type: 'Ready', status: 'True', lastHeartbeatTime: String(beat++) }]
    if (stored === undefined) return
    const status = { ...(stored.object.status as object), conditions }
    server.store.put('/nodes', { ...stored.object, status })
  }, 1000 / updates)

process.stdout.write(`ready ${server.url.replace('127.0.0.1', host)}\n`)
