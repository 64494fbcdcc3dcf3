import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { basename } from 'node:path'
import type { Cluster } from '../machine/cluster.ts'

/** A process of a pod, by its id on this machine and its executable's name. */
export type PodProcess = Readonly<{ pid: number; program: string }>

/** What runs in a pod, by its cgroup; a pod that is gone has nothing. */
export async function processesOf(
  cluster: Cluster,
  namespace: string,
  pod: string,
): Promise<readonly PodProcess[]> {
  return processesOfUid(await uidOf(cluster, namespace, pod))
}

/** How its cgroups are called, and what stays as long as the pod does. */
export const uidOf = (cluster: Cluster, namespace: string, pod: string): Promise<string> =>
  cluster.must(['-n', namespace, 'get', 'pod', pod, '-o', 'jsonpath={.metadata.uid}'])

/** Without the API, which may be away. */
export const processesOfUid = (uid: string): readonly PodProcess[] =>
  readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      // It may end while it is looked at.
      try {
        if (!readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(`/pod${uid}/`)) return []
        const program = basename(readlinkSync(`/proc/${pid}/exe`))
        return [{ pid: Number(pid), program }]
      } catch {
        return []
      }
    })

/** The process that holds the pod's namespaces while containers come and go. */
export const pauseProgram = 'pause'
