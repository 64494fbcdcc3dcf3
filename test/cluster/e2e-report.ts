export type Omission = Readonly<{ pattern: RegExp; reason: string }>

/** Tests by their full names, of which tags like `[Conformance]` are part. */
export type Suite = Readonly<{ focus: RegExp; without: readonly Omission[] }>

export type Outcome = Readonly<{ name: string; seconds: number }>
export type E2eResult = Readonly<{
  passed: readonly Outcome[]
  failed: readonly (Outcome & { readonly message: string })[]
  skipped: readonly Readonly<{ name: string; reason: string }>[]
}>

/** What is read of ginkgo's types.SpecReport; times are in nanoseconds. */
type SpecReport = Readonly<{
  ContainerHierarchyTexts: readonly string[] | null
  LeafNodeType: string
  LeafNodeText: string
  State: string
  RunTime: number
  Failure?: Readonly<{ Message: string }>
}>

/** What is read of ginkgo's types.Report. */
type SuiteReport = Readonly<{
  SpecReports: readonly SpecReport[] | null
  SuiteSucceeded: boolean
  SpecialSuiteFailureReasons: readonly string[] | null
}>

/** The outcome of every test of the suite from ginkgo's JSON report, which names all there are. */
export function resultOf(report: unknown, suite: Suite): E2eResult {
  const [run] = report as readonly SuiteReport[]
  const passed: Outcome[] = []
  const failed: E2eResult['failed'][number][] = []
  const skipped: E2eResult['skipped'][number][] = []
  for (const spec of run?.SpecReports ?? []) {
    const isTest = spec.LeafNodeType === 'It'
    const name = nameOf(spec)
    const outcome = { name, seconds: Math.round(spec.RunTime / 1e8) / 10 }
    const message = spec.Failure?.Message ?? spec.State
    if (spec.State === 'passed') {
      if (isTest) passed.push(outcome)
    } else if (spec.State !== 'skipped' && spec.State !== 'pending') {
      failed.push({ ...outcome, message })
    } else if (isTest && suite.focus.test(name)) {
      const omission = suite.without.find(({ pattern }) => pattern.test(name))
      skipped.push({ name, reason: omission?.reason ?? message })
    }
  }
  // a process that died takes its tests with it: then none of them failed
  if (run?.SuiteSucceeded !== true && failed.length === 0) {
    const message = run?.SpecialSuiteFailureReasons?.join('; ') || 'it did not succeed'
    failed.push({ name: 'the whole suite', seconds: 0, message })
  }
  return { passed, failed, skipped }
}

const nameOf = ({ ContainerHierarchyTexts, LeafNodeType, LeafNodeText }: SpecReport): string =>
  [...(ContainerHierarchyTexts ?? []), LeafNodeText].filter(Boolean).join(' ') || LeafNodeType
