import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Netns } from '../support/netns.ts'

/** One datagram from a socket of this namespace to another of it. */
export type Datagram = Readonly<{
  from: string
  fromPort: number
  to: string
  toPort: number
}>

// A socket for each address and port, bound before anything is sent: what comes unasked is
// answered with an ICMP error otherwise, which would be a packet more. send(2) has led a datagram
// through output and postrouting when it returns.
const program = `
  use IO::Socket::IP; use Socket qw(:all);
  my ($addresses, $ports) = @ARGV; my %sockets;
  for my $address (split /,/, $addresses) { for my $port (split /,/, $ports) {
    $sockets{"$address $port"} = IO::Socket::IP->new(LocalHost => $address, LocalPort => $port,
      Proto => 'udp') or die "bind $address $port: $@";
  } }
  $| = 1; print "ready\\n";
  while (<STDIN>) {
    my ($from, $fromPort, $to, $toPort) = split;
    my ($error, $target) = getaddrinfo($to, $toPort,
      { flags => AI_NUMERICHOST, socktype => SOCK_DGRAM });
    my $sent = $sockets{"$from $fromPort"}->send('x', 0, $target->{addr});
    print defined $sent ? "sent\\n" : "refused\\n";
  }
`

/** Sends datagrams between addresses of one namespace, one after the other. */
export class Datagrams {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: ChildProcess, lines: AsyncIterator<string>) {
    this.#child = child
    this.#lines = lines
  }

  static async open(
    netns: Netns,
    addresses: readonly string[],
    ports: readonly number[],
  ): Promise<Datagrams> {
    const words = ['/usr/bin/perl', '-e', program, addresses.join(','), ports.join(',')]
    const child = spawn('/usr/bin/nsenter', [`--net=${netns.path}`, ...words], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    if (!child.stdout) throw new Error('Cannot read what perl says')
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    const said = await lines.next()
    if (said.value !== 'ready') throw new Error(`Cannot open the sockets: ${String(said.value)}`)
    return new Datagrams(child, lines)
  }

  /** Whether the sender's own hooks let it go. */
  async send({ from, fromPort, to, toPort }: Datagram): Promise<boolean> {
    this.#child.stdin?.write(`${from} ${fromPort} ${to} ${toPort}\n`)
    const said = await this.#lines.next()
    if (said.done) throw new Error('Cannot send: perl has ended')
    return said.value === 'sent'
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }
}
