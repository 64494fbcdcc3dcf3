import type { Element } from '../wire/nft/set.ts'
import type { Extras } from './extras.ts'

/** `same-bridge`: no other network's pods; `isolated`: no pods at all. */
export type Isolation = { readonly policy: 'same-bridge' | 'isolated' }

export const isolationElements = (_: Extras): readonly Element[] => []
