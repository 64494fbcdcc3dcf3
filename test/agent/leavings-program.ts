// What the agent sees of gone pods in the network namespace that this is started in, and then takes
// away: leavings-program.ts DATA_DIR CONF_DIR EXECUTABLE. Prints what it saw first, as JSON.
import { lookForLeavings, runDel } from '../../src/agent/leavings.ts'
import { loadNative } from '../../src/kernel/native.ts'
import { RouteSocket } from '../../src/kernel/route-socket.ts'

const [dataDir = '', confDir = '', executable = ''] = process.argv.slice(2)
const native = loadNative()
const { remains, filed } = lookForLeavings({
  native,
  route: new RouteSocket(native, -1, 'the host'),
  dataDir,
})
process.stdout.write(JSON.stringify(remains))
for (const one of remains)
  await runDel(one, { executable, dataDir, confDir, binDir: '/opt/cni/bin', filed })
