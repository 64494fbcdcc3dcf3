import { at, fieldOf, isObject, type JsonObject, listOf, textOf } from '../cluster/json-value.ts'
import { directions } from '../cluster/network-policy.ts'

/** What an API server takes as it stands, and what of it is lost once it has been read. */
export type Slip = {
  readonly check: 'empty-peers' | 'rules-without-type'
  /** "NetworkPolicy shop/api" */
  readonly object: string
  /** "spec.ingress[0].from" */
  readonly path: string
  readonly text: string
}

const words = {
  ingress: { peers: 'from', type: 'Ingress' },
  egress: { peers: 'to', type: 'Egress' },
} as const

/** Of a NetworkPolicy as somebody wrote it. */
export function slipsOf(object: JsonObject): readonly Slip[] {
  const namespace = textOf(at(object, 'metadata', 'namespace')) ?? 'default'
  const name = `NetworkPolicy ${namespace}/${textOf(at(object, 'metadata', 'name')) ?? '?'}`
  const types = listOf(at(object, 'spec', 'policyTypes'))
  return directions.flatMap((direction): readonly Slip[] => {
    const { peers, type } = words[direction]
    const rules = listOf(at(object, 'spec', direction))
    const isLost = rules.length > 0 && types.length > 0 && !types.includes(type)
    const text = `has rules, and policyTypes has no ${type}: nothing of them counts`
    const lost = { check: 'rules-without-type', object: name, path: `spec.${direction}`, text }
    if (isLost) return [{ ...lost, check: 'rules-without-type' }]
    return rules.flatMap((rule, index): readonly Slip[] => {
      const list = isObject(rule) ? fieldOf(rule, peers) : undefined
      if (!Array.isArray(list) || list.length > 0) return []
      return [
        {
          check: 'empty-peers',
          object: name,
          path: `spec.${direction}[${index}].${peers}`,
          text: 'is an empty list, which means anybody; in a CiliumNetworkPolicy it means nobody',
        },
      ]
    })
  })
}
