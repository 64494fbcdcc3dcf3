import { ShapeError } from '../base/bytes.ts'
import { type KernelNotice, type KernelWatch, watchKernel } from '../kernel/event-stream.ts'
import type { KernelRefusal } from '../kernel/refusal.ts'
import type { OwnNative } from './own-native.ts'

export type KernelEventsOptions = {
  readonly own: OwnNative
  readonly onRoute: (type: number, body: Uint8Array) => void
  readonly onNftables: (type: number, body: Uint8Array) => void
  readonly onLost: () => void
  readonly onBroken: (refusal: KernelRefusal) => void
}

/** Hears what others than this process change. */
export function listenToKernel(options: KernelEventsOptions): KernelWatch {
  const { own, onRoute, onNftables, onLost, onBroken } = options
  return watchKernel({
    native: own.native,
    routeGroups: [
      'link',
      'neighbour',
      'address4',
      'address6',
      'route4',
      'route6',
      'settings4',
      'settings6',
    ],
    nftables: true,
    onNotice: ({ protocol, type, portId, body }: KernelNotice) => {
      if (portId !== 0 && own.isOwn(portId)) return
      try {
        if (protocol === 'route') onRoute(type, body)
        else onNftables(type, body)
      } catch (refusal) {
        // A kernel newer than this reader: what it said is looked up instead.
        if (!(refusal instanceof ShapeError)) throw refusal
        onLost()
      }
    },
    onLost,
    onBroken,
  })
}
