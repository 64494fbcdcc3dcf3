const binary = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']
const decimal = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E']
const form = /^\+?(\d+(?:\.\d*)?|\.\d+)(?:([KMGTPE]i|[numkMGTPE])|[eE]([+-]?\d{1,3}))?$/

/**
 * A Kubernetes quantity ("10M", "1.5Gi", "2e6", "500k") as a whole number, rounded up as Kubernetes
 * does (k8s.io/apimachinery/pkg/api/resource, "Quantity"); undefined for anything else, a negative
 * one included.
 */
export function quantityOf(text: string): number | undefined {
  const [, digits, suffix = '', exponent] = form.exec(text) ?? []
  if (digits === undefined) return undefined
  if (suffix.endsWith('i')) return roundUp(Number(digits) * 1024 ** binary.indexOf(suffix))
  const power = exponent === undefined ? (decimal.indexOf(suffix) - 3) * 3 : Number(exponent)
  // One reading of the whole, not a product: 0.1 times 10 to the 7th has no rounding error then.
  return roundUp(Number(`${digits}e${power}`))
}

const roundUp = (value: number): number | undefined =>
  Number.isSafeInteger(Math.ceil(value)) ? Math.ceil(value) : undefined
