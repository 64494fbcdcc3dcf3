import { CniFault, code, type Fault } from '../cni/fault.ts'
import { errno, KernelRefusal } from '../kernel/refusal.ts'

/** Any failure that is not the store's; loopback keeps none, and carries nothing of it. */
export function explainWithoutStore(refusal: unknown): Fault {
  if (refusal instanceof CniFault) return refusal.fault
  if (refusal instanceof KernelRefusal) return explainKernel(refusal)
  return explainFile(refusal) ?? explainBug(refusal)
}

const kernelRemedies: Readonly<Record<number, string>> = {
  1: 'run the plugin as root: it needs CAP_NET_ADMIN and CAP_SYS_ADMIN',
  [errno.EEXIST]:
    'something of that name is there already; find it with "ip -d link", remove it if it is stale',
  [errno.EOPNOTSUPP]: 'this kernel lacks what was asked for',
  [errno.ENODEV]: 'the link was removed meanwhile; try again',
  12: 'the kernel is out of memory; try again',
  105: 'the kernel is out of buffers; try again',
}

function explainKernel(refusal: KernelRefusal): Fault {
  const isTransient = refusal.errno === errno.EAGAIN
  const remedy = kernelRemedies[refusal.errno] ?? "the kernel's words tell what it objects to"
  return {
    code: isTransient ? code.tryAgainLater : code.kernel,
    message: 'the kernel refused',
    details: `${refusal.message}; ${isTransient ? 'try again' : remedy}`,
  }
}

function explainFile(refusal: unknown): Fault | undefined {
  const { code: name, message } = (refusal ?? {}) as { code?: unknown; message?: unknown }
  if (typeof name !== 'string' || !/^E[A-Z0-9]+$/.test(name)) return undefined
  return {
    code: code.io,
    message: 'cannot read or write a file',
    details: `${String(message)}; check that the path exists, is writable, and has room`,
  }
}

function explainBug(refusal: unknown): Fault {
  const text = refusal instanceof Error ? (refusal.stack ?? refusal.message) : String(refusal)
  return {
    code: code.bug,
    message: 'a bug in Tulle',
    details: `${text.split('\n').slice(0, 4).join(' | ')}; please report this`,
  }
}
