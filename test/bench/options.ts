import { parseArgs } from 'node:util'

export type Options = {
  readonly effort: 'full' | 'quick'
  readonly output: 'table' | 'json'
  /** Only cases whose name contains it; empty for all. */
  readonly only: string
}

export const usage = `usage: scripts/bench [--quick] [--only NAME] [--json]

  --quick       few runs: shows that everything runs; its figures mean little
  --only NAME   only cases whose name contains NAME (start, routed, bridge, masq, dual, chain,
                ports, leases, burst, warm), or nodes: the agent beside Flannel's at 5,000
                nodes, or policy: NetworkPolicies beside iptables rulesets, up to 10,000
  --json        machine-readable on standard output instead of tables, a document a part
`

export type Parsed = { readonly options: Options } | { readonly say: string; readonly code: 0 | 2 }

export function parseOptions(words: readonly string[]): Parsed {
  try {
    const { values } = parseArgs({
      args: [...words],
      options: {
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        only: { type: 'string', default: '' },
        help: { type: 'boolean', default: false, short: 'h' },
      },
    })
    if (values.help) return { say: usage, code: 0 }
    return {
      options: {
        effort: values.quick ? 'quick' : 'full',
        output: values.json ? 'json' : 'table',
        only: values.only,
      },
    }
  } catch (fault) {
    return { say: `${(fault as Error).message}\n\n${usage}`, code: 2 }
  }
}
