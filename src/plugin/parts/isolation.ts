import type { Isolation } from '../../datapath/isolation.ts'
import type { Part } from './part.ts'

/** Which other pods may reach this one. */
export const isolation: Part<Isolation> = { wish: () => null }
