import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Netns } from '../support/netns.ts'

// Two ends of one connection, each of which says what it is told to and tells what it hears.

const end = `
  use IO::Socket::IP; use IO::Select; use Socket qw(:all); $SIG{PIPE} = 'IGNORE';
  my ($role, $protocol, $address, $port) = @ARGV; my ($s, $to);
  $| = 1;
  if ($role eq 'call') {
    $s = IO::Socket::IP->new(PeerHost => $address, PeerPort => $port, Proto => $protocol)
      or die "call: $@";
    print "ready\\n";
  } else {
    $s = IO::Socket::IP->new(LocalHost => $address, LocalPort => $port, Proto => $protocol,
      V6Only => 1, ReuseAddr => 1, ($protocol eq 'tcp' ? (Listen => 5) : ())) or die "listen: $@";
    print "ready\\n";
    $s = $s->accept if $protocol eq 'tcp';
  }
  my $both = IO::Select->new(\\*STDIN, $s);
  while (1) { for my $ready ($both->can_read) {
    if ($ready == $s) {
      my $from = $s->recv(my $text, 99);
      exit 0 if $protocol eq 'tcp' and $text eq '';
      $to = $from if $protocol eq 'udp' and $role ne 'call';
      chomp $text; print "$text\\n" if $text ne '';
    } else {
      exit 0 unless sysread(STDIN, my $text, 99);
      defined $to ? $s->send($text, 0, $to) : $s->send($text);
    }
  } }
`

export class End {
  readonly #child: ChildProcess
  readonly #lines: AsyncIterator<string>
  readonly heard: string[] = []

  constructor(netns: Netns, ...words: readonly string[]) {
    const command = [`--net=${netns.path}`, '/usr/bin/perl', '-e', end, ...words]
    const child = spawn('/usr/bin/nsenter', command, { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#child = child
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  say(text: string): void {
    this.#child.stdin?.write(`${text}\n`)
  }

  /** The next that comes; waits for it. */
  async hears(): Promise<string> {
    const { value } = await this.#lines.next()
    this.heard.push(value)
    return value
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }
}

export type Talk = {
  readonly caller: End
  readonly answerer: End
  readonly close: () => void
}

export type Called = {
  readonly protocol: 'tcp' | 'udp'
  readonly address: string
  readonly port: number
}

/** A connection on which something has gone each way. */
export async function talk(from: Netns, to: Netns, called: Called): Promise<Talk> {
  const words = [called.protocol, called.address, String(called.port)]
  const answerer = new End(to, 'answer', ...words)
  const ends = [answerer]
  const close = (): void => {
    for (const one of ends) one.close()
  }
  try {
    await answerer.hears()
    const caller = new End(from, 'call', ...words)
    ends.push(caller)
    await caller.hears()
    caller.say('hello')
    await answerer.hears()
    answerer.say('welcome')
    await caller.hears()
    return { caller, answerer, close }
  } catch (fault) {
    close()
    throw fault
  }
}
