import type { Part } from './part.ts'

/** Accept rules in the host's own firewall, where it drops what it does not know. */
export const acceptance: Part<true> = { wish: () => null }
