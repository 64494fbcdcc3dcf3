import t from 'tap'
import { resultOf, type Suite } from './e2e-report.ts'

const suite: Suite = {
  focus: /\[Feature:NetworkPolicy\]/,
  without: [{ pattern: /\[Feature:SCTPConnectivity\]/, reason: 'no SCTP sockets' }],
}

// Fields of ginkgo's types.SpecReport as `ginkgo run --json-report` writes them (2.28).
const spec = (name: string, State: string, message?: string) => ({
  ContainerHierarchyTexts: ['[sig-network] Netpol'],
  LeafNodeType: 'It',
  LeafNodeText: name,
  State,
  RunTime: 1_260_000_000,
  ...(message === undefined ? {} : { Failure: { Message: message } }),
})
const reportOf = (...SpecReports: readonly object[]) => [{ SpecReports, SuiteSucceeded: true }]

t.test('resultOf: a test is passed, failed or skipped under its full name', async (t) => {
  const report = reportOf(
    spec('allows [Feature:NetworkPolicy]', 'passed'),
    spec('denies [Feature:NetworkPolicy]', 'failed', 'reached what it must not'),
    spec('hangs [Feature:NetworkPolicy]', 'timedout'),
    spec('waits [Feature:NetworkPolicy]', 'skipped', 'Only on clouds'),
  )
  t.strictSame(resultOf(report, suite), {
    passed: [{ name: '[sig-network] Netpol allows [Feature:NetworkPolicy]', seconds: 1.3 }],
    failed: [
      {
        name: '[sig-network] Netpol denies [Feature:NetworkPolicy]',
        seconds: 1.3,
        message: 'reached what it must not',
      },
      {
        name: '[sig-network] Netpol hangs [Feature:NetworkPolicy]',
        seconds: 1.3,
        message: 'timedout',
      },
    ],
    skipped: [
      {
        name: '[sig-network] Netpol waits [Feature:NetworkPolicy]',
        reason: 'Only on clouds',
      },
    ],
  })
})

t.test('resultOf: a test left out on purpose is told with the reason', async (t) => {
  const name = 'denies [Feature:NetworkPolicy] [Feature:SCTPConnectivity]'
  t.strictSame(resultOf(reportOf(spec(name, 'skipped')), suite).skipped, [
    { name: `[sig-network] Netpol ${name}`, reason: 'no SCTP sockets' },
  ])
})

t.test('resultOf: a test of another suite is not told', async (t) => {
  const report = reportOf(spec('mounts a volume', 'skipped'))
  t.strictSame(resultOf(report, suite), { passed: [], failed: [], skipped: [] })
})

t.test('resultOf: what fails before the first test is a failure', async (t) => {
  const setUp = {
    ContainerHierarchyTexts: null,
    LeafNodeType: 'SynchronizedBeforeSuite',
    LeafNodeText: '',
    State: 'failed',
    RunTime: 0,
    Failure: { Message: 'no node is ready' },
  }
  t.strictSame(resultOf(reportOf(setUp), suite).failed, [
    { name: 'SynchronizedBeforeSuite', seconds: 0, message: 'no node is ready' },
  ])
})

t.test('resultOf: a run that died is a failure though no test is', async (t) => {
  const reasons = ['Suite did not run because it crashed', 'Interrupted by User']
  const [row] = reportOf(spec('allows [Feature:NetworkPolicy]', 'passed'))
  const dead = [{ ...row, SuiteSucceeded: false, SpecialSuiteFailureReasons: reasons }]
  t.strictSame(resultOf(dead, suite).failed, [
    { name: 'the whole suite', seconds: 0, message: reasons.join('; ') },
  ])
  t.equal(resultOf([{ SpecReports: null }], suite).failed[0]?.message, 'it did not succeed')
})
