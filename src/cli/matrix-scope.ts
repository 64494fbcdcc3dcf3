import { flowsIn, type MatrixScope } from '../policy/matrix.ts'
import type { Cluster } from '../policy/model.ts'
import { type Desk, InputFault, type Option, textOf } from './command.ts'

export const namespaceOption: Option = {
  type: 'string',
  value: 'NAME',
  text: 'connections that begin or end there, and no others',
}

/** As JSON about 100 bytes each: what Node can hold as one text, and a person can use. */
const flowsMax = 2_000_000

/** What the options ask for; an InputFault if that is nowhere, or too much. */
export function scopeOf(clusters: readonly Cluster[], { values }: Desk): MatrixScope {
  const name = textOf(values, 'namespace')
  const isThere = ({ pods, namespaces }: Cluster): boolean =>
    name === undefined || namespaces.has(name) || pods.some(({ namespace }) => namespace === name)
  if (!clusters.some(isThere)) throw new InputFault(`There is no namespace ${name}`)
  const scope = name === undefined ? {} : { namespaces: new Set([name]) }
  const count = Math.max(...clusters.map((cluster) => flowsIn(cluster, scope)))
  if (count <= flowsMax) return scope
  throw new InputFault(
    `There are ${count} connections between pods, and ${flowsMax} at most are told at a time; ` +
      `give ${name === undefined ? '--namespace NAME' : 'fewer pods'}`,
  )
}
