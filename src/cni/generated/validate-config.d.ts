/** Compiled from ../schema.ts by scripts/build.mjs (ajv standalone, verbose errors). */
export type Violation = {
  readonly instancePath: string
  readonly keyword: string
  readonly params: Readonly<Record<string, unknown>>
  readonly message?: string
  readonly parentSchema?: { readonly description?: string }
  readonly data?: unknown
}
type Validate = { (value: unknown): boolean; errors?: readonly Violation[] | null }
declare const validate: Validate
export default validate
