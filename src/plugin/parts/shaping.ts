import type { Shaping } from '../../datapath/shaping.ts'
import type { Part } from './part.ts'

/** Limits of the rates to and from the pod. */
export const shaping: Part<Shaping> = { wish: () => null }
