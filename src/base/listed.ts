const usualMax = 10

/** "x/a, x/b and 7 more": for people, who read no list of thousands. */
export function listed(names: readonly string[], max = usualMax): string {
  const shown = names.slice(0, max).join(', ')
  return names.length > max ? `${shown} and ${names.length - max} more` : shown
}
