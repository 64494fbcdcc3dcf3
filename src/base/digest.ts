import { sha256 } from '@noble/hashes/sha2.js'
import { encodeText, toHex } from './bytes.ts'

/** The first hex digits (64 at most) of the text's sha256: a name that follows from a content. */
export const hexDigestOf = (text: string, digits: number): string =>
  toHex(sha256(encodeText(text))).slice(0, digits)
