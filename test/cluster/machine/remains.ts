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
    ...strays().map(({ pid, words }) => `process ${pid} ${words}`),
    ...(existsSync(stateDir) ? [stateDir] : []),
  ]
}

/** A process of the cluster, known by its mounts: a computer's disk is among them. */
export type Stray = Readonly<{ pid: number; words: string }>

/** All that run on a computer, and what was about to become one when its start was cut off. */
export function strays(): readonly Stray[] {
  return globSync('/proc/[0-9]*').flatMap((folder) => {
    try {
      const mounts = readFileSync(`${folder}/mountinfo`, 'utf8')
      if (!mounts.includes(`/${clusterName}/`)) return []
      const words = readFileSync(`${folder}/cmdline`, 'utf8').replaceAll('\0', ' ')
      return [{ pid: Number(folder.slice('/proc/'.length)), words: words.slice(0, 80) }]
    } catch {
      return [] // ended while it was looked at
    }
  })
}
