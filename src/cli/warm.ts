import { existsSync } from 'node:fs'
import { makeFolder } from '../store/database.ts'
import { type Command, type Desk, requiredText, ToolFault } from './command.ts'
import { nodeOptions, refuseLivingAgent } from './uninstall-node.ts'

export const warm: Command = {
  name: 'warm',
  summary: 'Serve the plugin calls of this node without an agent',
  about: [
    'For nodes without a cluster (podman, nerdctl, CI machines): what "tulle install --warm"',
    'puts into place asks this process, and saves the start of one of its own for every call.',
    'Nothing needs it: while it is not there, each call is a process as before. It goes on',
    'until it is ended; an agent of the node serves calls itself.',
  ],
  options: {
    'run-dir': nodeOptions['run-dir'],
    'no-rehearsal': { type: 'boolean', text: 'do not practise calls before the first ones come' },
  },
  run: runWarm,
}

function runWarm(desk: Desk): number {
  const runDir = requiredText(desk, 'run-dir', 'DIR')
  if (!existsSync(runDir)) makeFolder(runDir)
  refuseLivingAgent(desk)
  if (process.getuid?.() !== 0)
    throw new ToolFault('only root may serve plugin calls; runtimes call plugins as root')
  desk.remark(`serving plugin calls at ${runDir}/cni.sock\n`)
  desk.serveCalls(`${runDir}/cni.sock`, desk.values['no-rehearsal'] === true)
  return 0
}
