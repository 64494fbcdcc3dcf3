import { Buffer } from 'node:buffer'

// What an object's text says where it matters, as a number: an event whose gist is known need not
// be parsed. Status heartbeats are most of what a cluster's Nodes tell, 12 KB each.

export type Gist = {
  readonly type: 'put' | 'deleted'
  /** metadata.uid and name: those of the object, in every text of it. */
  readonly key: string
  readonly version: string
  readonly digest: number
}

/** Undefined for a text of which it can't be told: it is parsed. */
export type GistOf = (text: string) => Gist | undefined

/** Digests of the objects as they were last parsed. */
export class GistBook {
  readonly #digests = new Map<string, number>()

  /** Nothing that matters has changed since the object was parsed last. */
  isKnown({ type, key, digest }: Gist): boolean {
    return type === 'put' && this.#digests.get(key) === digest
  }

  keep({ type, key, digest }: Gist): void {
    if (type === 'put') this.#digests.set(key, digest)
    else this.#digests.delete(key)
  }

  clear(): void {
    this.#digests.clear()
  }
}

/** An event of a watch about an object, as API servers write it; others are always parsed. */
export const isOfObject = (text: string): boolean =>
  /^\{"type":"(ADDED|MODIFIED|DELETED)"/.test(text)
const deletion = '{"type":"DELETED"'

/**
 * The gist of a Node, of an event's text or of a list item's: its annotations, podCIDRs and
 * addresses, all that cluster/decode-node.ts reads besides the name. A key with its quotes can't be
 * within a string of JSON, where quotes are escaped.
 */
export const nodeGist: GistOf = (text) => {
  const metadata = text.indexOf('"metadata":{')
  const name = firstOf(text, '"name":"', metadata)
  const uid = firstOf(text, '"uid":"', metadata)
  const version = firstOf(text, '"resourceVersion":"', metadata)
  if (metadata < 0 || !name || !uid || !version || text.includes('\\u')) return undefined
  const digest = digestOfFields(text, nodeFields)
  return digest === undefined
    ? undefined
    : { type: typeOf(text), key: `${uid} ${name}`, version, digest }
}
const nodeFields = ['"annotations":{', '"podCIDR":"', '"podCIDRs":[', '"addresses":[']

/**
 * The gist of a Pod: what cluster/decode-pod.ts reads and may change while the pod lives; the rest
 * of it is immutable (pkg/apis/core/validation: ValidatePodUpdate) and goes with its uid.
 */
export const podGist: GistOf = (text) => {
  podHead.lastIndex = text.indexOf('"metadata":{')
  const [, uid, version] = (podHead.lastIndex >= 0 && podHead.exec(text)) || []
  if (uid === undefined || version === undefined || text.includes('\\u')) return undefined
  const digest = digestOfFields(text, podFields)
  // A slice of it would keep the whole text in memory.
  const key = Buffer.from(uid, 'latin1').toString('latin1')
  return digest === undefined ? undefined : { type: typeOf(text), key, version, digest }
}
/** As API servers write it, in this order; in any other the first uid may be an owner's. */
const podHead =
  /"metadata":\{"name":"[^"]+",(?:"generateName":"[^"]*",)?"namespace":"[^"]+",(?:"selfLink":"[^"]*",)?"uid":"([^"]+)","resourceVersion":"([^"]+)"/y
const podFields = [
  '"labels":{',
  '"nodeName":"',
  '"phase":"',
  '"hostIP":"',
  '"hostIPs":[',
  '"podIP":"',
  '"podIPs":[',
]

const typeOf = (text: string): Gist['type'] => (text.startsWith(deletion) ? 'deleted' : 'put')

/** Of what these keys lead to; undefined if that can't be told for sure. */
function digestOfFields(text: string, keys: readonly string[]): number | undefined {
  let digest = 0
  for (const key of keys) {
    const at = text.indexOf(key)
    const end = at < 0 ? at : endOf(text, at + key.length - 1)
    // Twice is once too often: which of them is meant only a parser can tell.
    if (at >= 0 && (end < 0 || text.indexOf(key, at + 1) >= 0)) return undefined
    digest = digestOf(text, at, end, digest)
  }
  return digest
}

function firstOf(text: string, key: string, from: number): string | undefined {
  const at = text.indexOf(key, from)
  const end = text.indexOf('"', at + key.length)
  return at >= 0 && end > 0 ? text.slice(at + key.length, end) : undefined
}

/** Behind the object, list or string that begins at `open`; −1 if it does not end. */
function endOf(text: string, open: number): number {
  let depth = 0
  let isString = false
  for (let at = open; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (isString) {
      if (code === 0x5c) at++
      else if (code === 0x22) isString = false
    } else if (code === 0x22) isString = true
    else if (code === 0x7b || code === 0x5b) depth++
    else if (code === 0x7d || code === 0x5d) depth--
    if (depth === 0 && !isString) return at + 1
  }
  return -1
}

/** Two runs of FNV-1a of 26 bits each in one number; nothing from `at` < 0. */
function digestOf(text: string, at: number, end: number, before: number): number {
  let low = (0x811c9dc5 ^ before) | 0
  let high = (0x9dc5811c ^ Math.floor(before / 0x4000000)) | 0
  for (let place = Math.max(at, 0); at >= 0 && place < end; place++) {
    const code = text.charCodeAt(place)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high ^ (code + 0x55), 0x01000193)
  }
  return (high & 0x3ffffff) * 0x4000000 + (low & 0x3ffffff)
}
