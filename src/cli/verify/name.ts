import { formatAddress } from '../../base/address.ts'
import { podKey } from '../../cluster/pod.ts'
import type { Endpoint } from '../../policy/endpoint.ts'

export const nameOfEnd = (end: Endpoint): string =>
  end.kind === 'pod' ? podKey(end.pod) : formatAddress(end.address)
