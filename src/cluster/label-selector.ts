import { allOf, areKnown, child, entriesOf, type Field, isAbsent, itemsOf, wrong } from './field.ts'
import { isObject } from './json-value.ts'

const operators = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const
export type LabelOperator = (typeof operators)[number]

/** One condition on labels; `values` only of In and NotIn. */
export type LabelRequirement = {
  readonly key: string
  readonly operator: LabelOperator
  readonly values: readonly string[]
}

/** All of them hold (P16); of none every object is selected. `matchLabels` is `In` of one value. */
export type LabelSelector = readonly LabelRequirement[]

/** Of a selector with anything wrong in it, nothing: half of one would select more. */
export function readLabelSelector(field: Field): LabelSelector | undefined {
  if (!isObject(field.value)) return wrong(field, 'an object with matchLabels, matchExpressions')
  if (!areKnown(field, ['matchLabels', 'matchExpressions'])) return undefined
  const before = field.problems.length
  const labels = entriesOf(child(field, 'matchLabels')).map(([key, value]) =>
    typeof value.value === 'string'
      ? ({ key, operator: 'In', values: [value.value] } as const)
      : wrong(value, 'a text; numbers need quotes'),
  )
  const expressions = itemsOf(child(field, 'matchExpressions')).map(readExpression)
  const read = allOf<LabelRequirement>([...labels, ...expressions])
  return field.problems.length === before ? read : undefined
}

function readExpression(field: Field): LabelRequirement | undefined {
  const key = child(field, 'key')
  const operator = child(field, 'operator')
  const listed = child(field, 'values')
  const values = allOf(itemsOf(listed).map(readValue))
  const known = operators.find((one) => one === operator.value)
  if (typeof key.value !== 'string' || key.value === '') return wrong(key, 'the key of a label')
  if (known === undefined) return wrong(operator, operators.join(', '))
  if (values === undefined) return undefined
  const isOfValues = known === 'In' || known === 'NotIn'
  if (isOfValues && values.length === 0)
    return wrong(listed, `one value or more, as it is ${known}`)
  if (!isOfValues && !isAbsent(listed) && values.length > 0)
    return wrong(listed, `no values, as it is ${known}`)
  return { key: key.value, operator: known, values }
}

const readValue = (field: Field): string | undefined =>
  typeof field.value === 'string' ? field.value : wrong(field, 'a text; numbers need quotes')
