import { code, fault } from './fault.ts'

/** Where the reference plugin has it: the node's owner decides which sysctls pods may get. */
export const allowlistFile = '/etc/cni/tuning/allowlist.conf'

/**
 * Refuses sysctls that no line of the list matches. A line is a regular expression, found anywhere
 * in the key as the configuration writes it, or as sysctl(8) does, with dots.
 */
export function refuseUnlisted(keys: readonly string[], list: string): void {
  const allowed = list
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map(expressionOf)
  for (const key of keys) {
    const dotted = key.replaceAll('/', '.')
    if (allowed.some((expression) => expression.test(key) || expression.test(dotted))) continue
    throw fault(
      code.invalidConfig,
      'sysctl is not allowed on this node',
      `sysctl ${JSON.stringify(key)} is matched by no line of ${allowlistFile}; ` +
        'add one there, or drop the sysctl',
    )
  }
}

/** Go's syntax but for what JavaScript reads otherwise: better no pod than one too free. */
function expressionOf(line: string): RegExp {
  const refused = (reason: string): Error =>
    fault(
      code.invalidConfig,
      'the list of allowed sysctls cannot be read',
      `${allowlistFile} has the line ${JSON.stringify(line)}: ${reason}; ` +
        'write one regular expression a line, such as ^net\\.ipv4\\.conf\\.IFNAME\\.[a-z_]+$',
    )
  if (/\[:\^?[a-z]+:\]|\\[AzZQEpPC]/.test(line))
    throw refused('it has a class or an anchor that only Go knows')
  try {
    return new RegExp(line)
  } catch (cause) {
    throw refused(cause instanceof Error ? cause.message : String(cause))
  }
}
