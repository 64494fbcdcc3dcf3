// Registers have two numberings: NFT_REG_1 … 4 of sixteen bytes, and NFT_REG32_00 … 15 of four. The
// first word of NFT_REG_1 is NFT_REG32_00 (nft_parse_register of net/netfilter/nf_tables_api.c).

/** Which attributes of an expression are registers: linux/netfilter/nf_tables.h. */
const registerAttributes: Readonly<Record<string, readonly number[]>> = {
  meta: [1],
  payload: [1],
  cmp: [1],
  bitwise: [1, 2],
  lookup: [2, 3],
  immediate: [1],
  fib: [1],
  ct: [1, 4],
  nat: [3, 5],
}

/** Lines of a rule ("4/1:2/2/1 = 00000001") with each register as "verdict" or "word 0". */
export function readRegisters(lines: readonly string[]): readonly string[] {
  const names = new Map<string, string>()
  for (const line of lines) {
    const [, place, hex] = /^(4\/1(?::\d+)?)\/1 = ([0-9a-f]+)00$/.exec(line) ?? []
    if (place && hex) names.set(place, Buffer.from(hex, 'hex').toString())
  }
  return lines.map((line) => {
    const [, place, attribute, hex] = /^(4\/1(?::\d+)?)\/2\/(\d+) = ([0-9a-f]{8})$/.exec(line) ?? []
    const name = names.get(place ?? '')
    if (name === undefined || !registerAttributes[name]?.includes(Number(attribute))) return line
    return `${place}/2/${attribute} = ${registerName(Number.parseInt(hex ?? '', 16))}`
  })
}

const registerName = (register: number): string => {
  if (register === 0) return 'verdict'
  return `word ${register <= 4 ? (register - 1) * 4 : register - 8}`
}
