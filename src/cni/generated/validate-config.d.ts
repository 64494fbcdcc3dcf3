/**
 * Compiled from ../schema.ts by scripts/build.mjs (ajv standalone, no messages: config.ts makes the
 * text).
 */
export type Violation = {
  /** JSON pointer into the value. */
  readonly instancePath: string
  /** JSON pointer into the schema, behind a "#", its last word the keyword. */
  readonly schemaPath: string
  readonly keyword: string
  readonly params: Readonly<Record<string, unknown>>
}
type Validate = { (value: unknown): boolean; errors?: readonly Violation[] | null }
declare const validate: Validate
export default validate
