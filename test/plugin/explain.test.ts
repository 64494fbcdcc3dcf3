import { statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'tap'
import { fault } from '../../src/cni/fault.ts'
import { KernelRefusal } from '../../src/kernel/refusal.ts'
import { explain } from '../../src/plugin/explain.ts'
import { StoreBroken, StoreBusy } from '../../src/store/database.ts'

function thrownBy(work: () => unknown): unknown {
  try {
    work()
  } catch (refusal) {
    return refusal
  }
  throw new Error('nothing was thrown')
}

const kernel = (errno: number, kernelText?: string) =>
  new KernelRefusal({ what: 'add route 10.0.0.0/8', errno, kernelText })
const sqlite = (errcode: number) => Object.assign(new Error('as SQLite says'), { errcode })

const rows: readonly Readonly<{ why: string; refusal: unknown; code: number; details: RegExp }>[] =
  [
    {
      why: 'a fault is what it is',
      refusal: fault(102, 'no free address', 'the pool is full'),
      code: 102,
      details: /^the pool is full$/,
    },
    {
      why: 'the kernel’s own words, and the errno’s name',
      refusal: kernel(101, 'Nexthop has invalid gateway'),
      code: 100,
      details:
        /^Cannot add route 10\.0\.0\.0\/8: ENETUNREACH \(kernel: "Nexthop has invalid gateway"\); /,
    },
    { why: 'EPERM', refusal: kernel(1), code: 100, details: /EPERM; .*root.*CAP_NET_ADMIN/ },
    { why: 'EEXIST', refusal: kernel(17), code: 100, details: /EEXIST; .*ip -d link/ },
    {
      why: 'EOPNOTSUPP',
      refusal: kernel(95),
      code: 100,
      details: /E(OP)?NOTSUPP?; .*kernel lacks/,
    },
    { why: 'ENODEV', refusal: kernel(19), code: 100, details: /ENODEV; .*removed meanwhile/ },
    { why: 'ENOMEM', refusal: kernel(12), code: 100, details: /ENOMEM; .*out of memory/ },
    { why: 'ENOBUFS', refusal: kernel(105), code: 100, details: /ENOBUFS; .*out of buffers/ },
    { why: 'EAGAIN is for another try', refusal: kernel(11), code: 11, details: /; try again$/ },
    {
      why: 'an errno of the kernel that has no name in user space (ENOTSUPP of linux/errno.h)',
      refusal: kernel(524),
      code: 100,
      details: /524/,
    },
    {
      why: 'the store’s lock',
      refusal: new StoreBusy('the lock /x was not free; try again'),
      code: 11,
      details: /^the lock \/x was not free; try again$/,
    },
    {
      why: 'a store of a later time',
      refusal: new StoreBroken('/x was written by a newer Tulle'),
      code: 5,
      details: /newer Tulle/,
    },
    { why: 'SQLITE_BUSY', refusal: sqlite(5), code: 11, details: /as SQLite says; .*try again/ },
    { why: 'SQLITE_LOCKED', refusal: sqlite(6), code: 11, details: /as SQLite says/ },
    { why: 'SQLITE_READONLY', refusal: sqlite(8), code: 5, details: /read-only/ },
    { why: 'SQLITE_IOERR_FSYNC', refusal: sqlite(10 | (4 << 8)), code: 5, details: /disk failed/ },
    { why: 'SQLITE_FULL', refusal: sqlite(13), code: 5, details: /disk is full/ },
    {
      why: 'SQLITE_CANTOPEN, from SQLite itself',
      refusal: thrownBy(() => new DatabaseSync('/proc/none/tulle.db')),
      code: 5,
      details: /unable to open database file; .*permissions/,
    },
    {
      why: 'a file that is not there, from Node itself',
      refusal: thrownBy(() => statSync('/proc/none')),
      code: 5,
      details: /ENOENT: no such file or directory, .*'\/proc\/none'; check/,
    },
    {
      why: 'a bug, with the place',
      refusal: new TypeError('x is not a function'),
      code: 199,
      details: /TypeError: x is not a function \| .*explain\.test\.ts.*; please report this/,
    },
    {
      why: 'a bug that Node finds: its code is no errno',
      refusal: thrownBy(() => Buffer.alloc(-1)),
      code: 199,
      details: /out of range/,
    },
    { why: 'a text', refusal: 'odd', code: 199, details: /^odd; please report/ },
    { why: 'nothing', refusal: undefined, code: 199, details: /^undefined; please report/ },
    { why: 'null', refusal: null, code: 199, details: /^null; please report/ },
    {
      why: 'several: the first one’s code, all of their texts',
      refusal: new AggregateError([kernel(17), sqlite(13), fault(7, 'a', 'b')], 'Cannot undo'),
      code: 100,
      details: /EEXIST.*; besides: the lease store cannot be used \(.*full.*\); a \(b\); DEL or GC/,
    },
    {
      why: 'several of none',
      refusal: new AggregateError([], 'Cannot undo'),
      code: 199,
      details: /^Cannot undo; /,
    },
  ]

for (const { why, refusal, code, details } of rows) {
  test(`explained: ${why}`, async (t) => {
    const told = explain(refusal)
    t.equal(told.code, code)
    t.not(told.message, '')
    t.match(told.details, details)
    t.notMatch(told.details, '\n', 'one line, for the pod’s event')
  })
}
