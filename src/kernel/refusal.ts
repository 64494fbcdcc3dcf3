import { getSystemErrorName } from 'node:util'

/** Errno numbers that Tulle acts on (asm-generic/errno-base.h, errno.h). */
export const errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  EAGAIN: 11,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EROFS: 30,
  EPIPE: 32,
  ERESTART: 85,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRNOTAVAIL: 99,
  ENETDOWN: 100,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  EHOSTUNREACH: 113,
} as const

export type Refused = {
  readonly what: string
  readonly errno: number
  /** The kernel's own words, if it had any. */
  readonly kernelText?: string | undefined
  readonly cause?: unknown
}

/** The kernel said no: what was tried, the errno's name, the kernel's own text. */
export class KernelRefusal extends Error {
  override name = 'KernelRefusal'
  readonly errno: number

  constructor({ what, errno: number, kernelText, cause }: Refused) {
    const words = kernelText ? ` (kernel: "${kernelText}")` : ''
    super(`Cannot ${what}: ${errnoName(number)}${words}`, { cause })
    this.errno = number
  }
}

/** What of an nf_tables batch the kernel refused: the n-th message. */
export type BatchRefusal = {
  readonly at: number
  readonly errno: number
  readonly kernelText: string | undefined
}

export const refusedBatch = (
  what: string,
  { errno: number, kernelText }: BatchRefusal,
): KernelRefusal => new KernelRefusal({ what, errno: number, kernelText })

export function errnoName(number: number): string {
  try {
    return getSystemErrorName(-number)
  } catch {
    return `errno ${number}`
  }
}
