import { type ChildProcess, spawn } from 'node:child_process'
import type { Netns } from './netns.ts'

// Ends of real connections, in Perl, which is part of every Debian: a listener answers with the
// address that it sees the client at and its own name.

export type Protocol = 'tcp' | 'udp'

const listener = `
  use IO::Socket::IP; use Socket qw(:all);
  my ($protocol, $address, $port, $name) = @ARGV;
  my $s = IO::Socket::IP->new(LocalHost => $address, LocalPort => $port, Proto => $protocol,
    V6Only => 1, ReuseAddr => 1, ($protocol eq 'tcp' ? (Listen => 50) : ())) or die "listen: $@";
  $| = 1; print "ready\\n";
  while ($protocol eq 'tcp' and my $c = $s->accept) { print $c $c->peerhost, " $name"; close $c }
  while (defined(my $from = $s->recv(my $text, 99))) {
    my ($error, $at) = getnameinfo($from, NI_NUMERICHOST | NI_NUMERICSERV);
    $s->send("$at $name", 0, $from);
  }
`

const client = `
  use IO::Socket::IP; use IO::Select; $SIG{PIPE} = 'IGNORE';
  my ($protocol, $address, $port, $local) = @ARGV;
  my $s = IO::Socket::IP->new(PeerHost => $address, PeerPort => $port, Proto => $protocol,
    ($local ? (LocalPort => $local, ReuseAddr => 1) : ()), Timeout => 1) or exit 1;
  for (1 .. ($protocol eq 'udp' ? 3 : 1)) {
    $s->send('hello') if $protocol eq 'udp';
    next unless IO::Select->new($s)->can_read(0.7);
    exit 1 unless sysread($s, my $text, 99);
    print $text; exit 0;
  }
  exit 1;
`

/** A listener in a namespace, until it is closed. */
export class Listener {
  readonly #child: ChildProcess

  constructor(child: ChildProcess) {
    this.#child = child
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }
}

export type Place = Readonly<{ protocol: Protocol; address: string; port: number; name?: string }>

/** Listens; resolves once it does. */
export function listen(netns: Netns, place: Place): Promise<Listener> {
  const { protocol, address, port, name = 'somebody' } = place
  const words = ['/usr/bin/perl', '-e', listener, protocol, address, String(port), name]
  const child = spawn('/usr/bin/nsenter', [`--net=${netns.path}`, ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  return new Promise((resolve, reject) => {
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    child.once('exit', () => reject(new Error(`Cannot listen on ${address} ${port}: ${said}`)))
    child.stdout.once('data', () => resolve(new Listener(child)))
  })
}

export type Target = Readonly<{ protocol: Protocol; address: string; port: number; from?: number }>

/** What a listener answers, "ADDRESS NAME"; undefined if nobody does within a second or two. */
export function asked(
  netns: Netns,
  { protocol, address, port, from = 0 }: Target,
): string | undefined {
  const words = [protocol, address, String(port), String(from)]
  const done = netns.exec(['/usr/bin/perl', '-e', client, ...words])
  return done.code === 0 ? done.stdout : undefined
}
