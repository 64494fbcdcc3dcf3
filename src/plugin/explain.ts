import { code, type Fault } from '../cni/fault.ts'
import { portOfElement } from '../datapath/host-ports.ts'
import { ElementTaken } from '../kernel/element-taken.ts'
import { StoreBroken, StoreBusy, sqliteCode } from '../store/database.ts'
import { explainWithoutStore } from './explain-kernel.ts'
import { portTaken } from './port-taken.ts'

/**
 * Any failure as the error object that a runtime shows: code, what was tried, then what was found
 * and the remedy.
 */
export function explain(refusal: unknown): Fault {
  if (refusal instanceof AggregateError) return explainSeveral(refusal)
  if (refusal instanceof ElementTaken) return explainTaken(refusal)
  if (refusal instanceof StoreBusy)
    return {
      code: code.tryAgainLater,
      message: 'the lease store is locked',
      details: refusal.message,
    }
  if (refusal instanceof StoreBroken)
    return { code: code.io, message: 'the lease store cannot be used', details: refusal.message }
  return explainSqlite(refusal) ?? explainWithoutStore(refusal)
}

function explainSeveral({ errors, message }: AggregateError): Fault {
  const [first, ...rest] = errors.map(explain)
  const others = rest.map((fault) => `${fault.message} (${fault.details})`).join('; ')
  return {
    code: first?.code ?? code.bug,
    message: first?.message ?? message,
    details: `${first?.details ?? message}; besides: ${others}; DEL or GC will finish the clean-up`,
  }
}

function explainTaken({ element, owner, message }: ElementTaken): Fault {
  const port = portOfElement(element)
  if (port !== undefined) return portTaken(port, owner).fault
  return {
    code: code.hostConflict,
    message: 'another pod has it',
    details: `${message}; remove that pod`,
  }
}

const sqliteRemedies: Readonly<Record<number, string>> = {
  5: 'another program holds the database; try again',
  8: 'the file or its folder is read-only; make it writable',
  10: "the disk failed; see the kernel's log",
  13: 'the disk is full; free some space',
  14: "the file cannot be opened; check the folder's permissions",
}

function explainSqlite(refusal: unknown): Fault | undefined {
  const number = sqliteCode(refusal)
  if (number === undefined) return undefined
  const text = refusal instanceof Error ? refusal.message : String(refusal)
  return {
    code: number === 5 || number === 6 ? code.tryAgainLater : code.io,
    message: 'the lease store cannot be used',
    details: `SQLite: ${text}; ${sqliteRemedies[number] ?? 'no address was leased'}`,
  }
}
