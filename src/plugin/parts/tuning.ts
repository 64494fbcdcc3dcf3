import type { Tuning } from '../../datapath/tuning.ts'
import type { Part } from './part.ts'

/** Sysctls and link settings of the pod. */
export const tuning: Part<Tuning> = { wish: () => null }
