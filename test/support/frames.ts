import type { Netns } from './netns.ts'

// Perl is part of every Debian; Node has no packet sockets.
const sender = `
  socket(my $s, 17, 3, 0) or die "socket: $!";
  my ($index, $frame) = @ARGV;
  my $to = pack('S n i S C C a8', 17, 0, $index, 0, 0, 6, "");
  send($s, pack('H*', $frame), 0, $to) or die "send: $!";
`

/** Sends one Ethernet frame, given in hex, as it is: AF_PACKET, past every table of the pod. */
export function sendFrame(from: Netns, ifname: string, frame: string): void {
  const index = from.ipJson('link', 'show', ifname)[0]?.ifindex
  const done = from.exec(['/usr/bin/perl', '-e', sender, String(index), frame])
  if (done.code !== 0) throw new Error(`Cannot send a frame from ${from.name}: ${done.stderr}`)
}

export const macHex = (mac: string): string => mac.replaceAll(':', '')
export const ip4Hex = (address: string): string =>
  address
    .split('.')
    .map((octet) => Number(octet).toString(16).padStart(2, '0'))
    .join('')

type Ends = Readonly<{ source: string; target: string; sourceMac: string; targetMac: string }>

const checksum = (hex: string): string => {
  const words = hex.match(/.{4}/g) ?? []
  const sum = words.reduce((total, word) => total + Number.parseInt(word, 16), 0)
  const folded = (sum & 0xffff) + (sum >>> 16)
  return (~(folded + (folded >>> 16)) & 0xffff).toString(16).padStart(4, '0')
}

/** Ethernet + IPv4 + UDP to port 9 with 18 bytes of nothing (RFC 791, RFC 768: no UDP checksum). */
export function udpFrame({ source, target, sourceMac, targetMac }: Ends): string {
  const before = '4500002e000000004011'
  const addresses = ip4Hex(source) + ip4Hex(target)
  const header = before + checksum(`${before}0000${addresses}`) + addresses
  const udp = `c0000009001a0000${'00'.repeat(18)}`
  return `${macHex(targetMac)}${macHex(sourceMac)}0800${header}${udp}`
}

/** An ARP reply that claims `source` is at `sourceMac` (RFC 826). */
export function arpFrame({ source, target, sourceMac, targetMac }: Ends): string {
  const body = macHex(sourceMac) + ip4Hex(source) + macHex(targetMac) + ip4Hex(target)
  return `${macHex(targetMac)}${macHex(sourceMac)}08060001080006040002${body}`
}

const ip6Hex = (address: string): string => {
  const [head = '', tail = ''] = address.split('::')
  const groups = (text: string): readonly string[] => (text === '' ? [] : text.split(':'))
  const [front, back] = [groups(head), groups(tail)]
  const zeros = Array.from({ length: 8 - front.length - back.length }, () => '0')
  const all = address.includes('::') ? [...front, ...zeros, ...back] : front
  return all.map((group) => group.padStart(4, '0')).join('')
}

/**
 * Ethernet + IPv6 with next header 59 (RFC 8200 4.7: nothing follows) and 8 bytes of nothing: no
 * checksum to get wrong.
 */
export function emptyIp6Frame({ source, target, sourceMac, targetMac }: Ends): string {
  const header = `6000000000083b40${ip6Hex(source)}${ip6Hex(target)}`
  return `${macHex(targetMac)}${macHex(sourceMac)}86dd${header}${'00'.repeat(8)}`
}

/** Counts frames on their way into a device, by nft expression; read as often as wanted. */
export function countEach(
  at: Netns,
  ifname: string,
  matches: readonly string[],
): () => readonly number[] {
  const rules = [
    'table netdev probe {',
    'chain in {',
    `type filter hook ingress device ${ifname} priority -500;`,
    ...matches.map((match) => `${match} counter`),
    '}',
    '}',
  ].join('\n')
  at.exec(['/usr/sbin/nft', 'delete table netdev probe'])
  const done = at.exec(['/usr/sbin/nft', '-f', '-'], { input: `${rules}\n` })
  if (done.code !== 0) throw new Error(`Cannot count at ${at.name}: ${done.stderr}`)
  return () => {
    const text = at.exec(['/usr/sbin/nft', 'list table netdev probe']).stdout
    return [...text.matchAll(/packets (\d+)/g)].map(([, packets]) => Number(packets))
  }
}

export function countArrivals(at: Netns, ifname: string, match: string): () => number {
  const read = countEach(at, ifname, [match])
  return () => read()[0] ?? Number.NaN
}
