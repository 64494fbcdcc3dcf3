/**
 * Compiled from ../schema.ts by scripts/validator.mjs (ajv standalone, no messages: config.ts makes the
 * text).
 */
export type Violation = {
  /** JSON pointer into the value. */
  readonly instancePath: string
  readonly keyword: string
  /** Of `required` alone. */
  readonly params?: { readonly missingProperty?: string }
}
type Validate = { (value: unknown): boolean; errors?: readonly Violation[] | null }
declare const validate: Validate
export default validate
