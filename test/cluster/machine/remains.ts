import { existsSync, globSync, readFileSync } from 'node:fs'
import { runLater } from '../../support/netns.ts'
import { cgroupRoot, clusterName, stateDir } from './places.ts'

/** Everything on this machine that has the cluster's name; after `down` there is nothing. */
export async function remains(): Promise<readonly string[]> {
  const named = (text: string): boolean => text.includes(clusterName)
  const netns = (await runLater(['ip', 'netns', 'list'])).stdout.split('\n')
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  return [
    ...netns.filter((line) => line.startsWith(`${clusterName}-`)).map((line) => `netns ${line}`),
    ...mounts.filter(named).map((line) => `mount ${line.split(' ')[4]}`),
    ...globSync(`/sys/fs/cgroup{,/*}${cgroupRoot}`).map((path) => `cgroup ${path}`),
    ...processes().map((line) => `process ${line}`),
    ...(existsSync(stateDir) ? [stateDir] : []),
  ]
}

/** Processes whose root directory is a computer's disk: all that ever ran on one. */
function processes(): readonly string[] {
  return globSync('/proc/[0-9]*').flatMap((folder) => {
    try {
      const mounts = readFileSync(`${folder}/mountinfo`, 'utf8').split('\n')
      const root = mounts.find((line) => line.split(' ')[4] === '/') ?? ''
      const words = readFileSync(`${folder}/cmdline`, 'utf8').replaceAll('\0', ' ')
      return root.includes(`${stateDir}/`) ? [`${folder.slice(6)} ${words}`] : []
    } catch {
      return [] // ended while it was looked at
    }
  })
}
