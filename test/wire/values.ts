import { type Address, parseAddress } from '../../src/base/address.ts'
import { type Mac, parseMac } from '../../src/base/mac.ts'
import { type Prefix, parsePrefix } from '../../src/base/prefix.ts'
import type { IfIndex } from '../../src/wire/rtnl/link.ts'

// Values of a test's own tables: text that is not one is a fault of the table.

export const address = (text: string): Address => parseAddress(text) ?? odd(text)
export const prefix = (text: string): Prefix => parsePrefix(text) ?? odd(text)
export const mac = (text: string): Mac => parseMac(text) ?? odd(text)
export const link = (index: number): IfIndex => index as IfIndex
export const bytes = (hex: string): Uint8Array =>
  Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))

function odd(text: string): never {
  throw new Error(`Cannot use ${text}: a table of a test holds it`)
}
