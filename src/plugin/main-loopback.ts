import { parseBareConfig, versionOf } from '../cni/config.ts'
import { parseEnvironment } from '../cni/environment.ts'
import { formatFault } from '../cni/fault.ts'
import { newestVersion } from '../cni/version.ts'
import type { Started } from './call.ts'
import { explainWithoutStore } from './explain-kernel.ts'
import { answerLoopback } from './loopback.ts'
import { print, readInput } from './streams.ts'

/** Runs with every pod of containerd, beside the plugin itself: no store, no validator. */
export function main({ native }: Started): 0 | 1 {
  let input = ''
  try {
    const environment = parseEnvironment(process.env)
    input = readInput()
    const answer = answerLoopback({ native, environment, config: parseBareConfig(input) })
    return print(answer) ? 0 : 1
  } catch (refusal) {
    print(formatFault(versionOf(input) ?? newestVersion, explainWithoutStore(refusal)))
    return 1
  }
}
