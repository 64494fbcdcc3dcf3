import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cgroupRoot } from './places.ts'
import { until } from './until.ts'

const mounted = '/sys/fs/cgroup'

/** Version 1 has a folder per controller (links among them are second names), version 2 is one. */
function hierarchies(): readonly string[] {
  if (existsSync(join(mounted, 'cgroup.controllers'))) return [mounted]
  return readdirSync(mounted, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => join(mounted, name))
}

export const cgroupOf = (name: string): string => `${cgroupRoot}/${name}`

/** A node's own group in every hierarchy: the kubelet's root. */
export function makeCgroup(name: string): void {
  for (const hierarchy of hierarchies()) {
    let path = hierarchy
    for (const part of cgroupOf(name).split('/').slice(1)) {
      const parent = path
      path = join(parent, part)
      mkdirSync(path, { recursive: true })
      inheritCpuset(parent, path)
    }
  }
}

/** In version 1 a new group of cpuset has no CPU, and refuses processes until it has one. */
function inheritCpuset(parent: string, path: string): void {
  for (const file of ['cpuset.cpus', 'cpuset.mems']) {
    const from = join(parent, file)
    if (existsSync(from) && existsSync(join(path, 'cgroup.clone_children'))) {
      writeFileSync(join(path, file), readFileSync(from))
    }
  }
}

/** Removes a node's groups, or all of the cluster's, once their last processes are reaped. */
export async function removeCgroups(path = cgroupRoot): Promise<void> {
  const gone = (): boolean =>
    hierarchies()
      .map((hierarchy) => removeTree(join(hierarchy, path)))
      .every((isGone) => isGone)
  await until(`the end of the cgroups ${path}`, gone, { limitMs: 20_000, pauseMs: 100 })
}

function removeTree(folder: string): boolean {
  if (!existsSync(folder)) return true
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(folder, entry.name))
  }
  try {
    rmdirSync(folder)
    return true
  } catch {
    return false // busy: asked again
  }
}
