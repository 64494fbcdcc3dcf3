import type { JsonObject } from '../cluster/json-value.ts'
import type { Policy } from './model.ts'

/** What is likely not meant: where, what was found, what it leads to, and what to do. */
export type Finding = {
  readonly check: Check
  /** "NetworkPolicy shop/api", "Namespace shop" */
  readonly object: string
  /** "spec.ingress[0]" */
  readonly path?: string
  /** Where the object was read: "policies/api.yaml, document 2", "the cluster". */
  readonly place?: string
  /** Goes on where `object` and `path` end. */
  readonly text: string
  readonly meaning: string
  readonly remedy: string
  /** A manifest that mends it. */
  readonly fix?: JsonObject
}

/** As its check finds it; what is the same for all of a check is added by `findingOf`. */
export type Found = Pick<Finding, 'check' | 'object' | 'path' | 'text' | 'fix'> &
  Partial<Pick<Finding, 'meaning' | 'remedy'>>

export type Check = keyof typeof words

const words = {
  dns: {
    meaning: 'they resolve no name, so next to nothing works in them',
    remedy: 'apply the manifest below, or write such a rule',
  },
  'selects-nothing': {
    meaning: 'it does nothing as long as no such pod comes',
    remedy: 'compare its podSelector with the labels of the pods, and its namespace with theirs',
  },
  'completed-pods': {
    meaning: 'it does nothing: such a pod sends and receives no packet any more',
    remedy: 'delete it, or have it select the pods that run',
  },
  'peer-matches-nothing': {
    meaning: 'the rule admits nobody by that peer as long as no such pod comes',
    remedy: 'compare its selectors with the labels of pods and namespaces',
  },
  'port-name': {
    meaning: 'the rule opens nothing by that port',
    remedy: 'write the name as the container has it, or the number',
  },
  'nobody-listens': {
    meaning: 'the rule opens a port that is most likely not the one that was meant',
    remedy: 'write the containerPort; or declare it, if the container does listen there',
  },
  'service-port': {
    meaning: 'policies judge behind the Service, so the rule opens nothing',
    remedy: "write the pods' own port",
  },
  'service-address': {
    meaning: 'policies judge behind the Service, so the address opens nothing',
    remedy: "select the Service's pods, and write their port",
  },
  'host-network': {
    meaning: "they have the node's addresses: no policy closes them, and no selector means them",
    remedy: 'give them a network of their own, or close the node by other means',
  },
  'open-namespace': {
    meaning: 'whoever reaches the cluster network reaches them, or is reached by them',
    remedy:
      'allow what they need (names too), then apply the manifest below; "tulle policy diff" ' +
      'tells what it would close',
  },
  'empty-rule': {
    meaning: 'the same words mean the opposite in the other kind of policy',
    remedy: 'if it is meant, say so in words: name the peers',
  },
  'empty-peers': {
    meaning: 'everybody is admitted where most likely nobody was meant',
    remedy: 'to admit nobody, leave the rule out; to admit anybody, leave the list out',
  },
  'rules-without-type': {
    meaning: 'the pods are as open in that direction as without the rules',
    remedy: 'add the direction to policyTypes, or leave policyTypes out',
  },
  'either-peer': {
    meaning: 'more pods are admitted than most likely were meant',
    remedy: 'for those pods in those namespaces, write both selectors in one peer',
  },
  shadowed: {
    meaning: 'the rule changes nothing',
    remedy: 'delete it, or narrow the other one',
  },
  'hidden-clients': {
    meaning:
      "packets that come in by another node bear that node's address: rules about clients' " +
      'addresses do not see them, and admit or refuse the wrong ones',
    remedy: 'have the Service keep them: externalTrafficPolicy: Local, as in the patch below',
  },
  refused: {
    meaning: 'what it would allow is not allowed, and a deny of it denies its whole direction',
    remedy: 'say it in addresses and ports, or leave it to a proxy',
  },
} as const satisfies Readonly<Record<string, Pick<Finding, 'meaning' | 'remedy'>>>

export const checkNames = Object.keys(words) as readonly Check[]

export const findingOf = (found: Found): Finding => ({ ...words[found.check], ...found })

export const titleOf = ({
  kind,
  namespace,
  name,
}: Pick<Policy, 'kind' | 'namespace' | 'name'>): string => `${kind} ${namespace}/${name}`
