import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Netns } from '../support/netns.ts'

const receiver = `
  use IO::Socket::IP; use IO::Select; use Socket qw(:all);
  my %of; my $select = IO::Select->new;
  for my $port (@ARGV) { for my $any ('0.0.0.0', '::') {
    my $s = IO::Socket::IP->new(LocalHost => $any, LocalPort => $port, Proto => 'udp',
      V6Only => 1) or die "listen: $@";
    $of{$s} = $port; $select->add($s);
  } }
  $| = 1; print "ready\\n";
  while (1) { for my $s ($select->can_read) {
    my $from = $s->recv(my $text, 99); my ($error, $at) = getnameinfo($from, NI_NUMERICHOST);
    print "$text\\n";
  } }
`

/** Each from a socket of its own: what one is refused says nothing of the next. */
const sender = `
  use IO::Socket::IP;
  for (@ARGV) {
    my ($text, $local, $address, $port) = split / /;
    my $s = IO::Socket::IP->new(PeerHost => $address, PeerPort => $port, Proto => 'udp',
      LocalHost => $local) or die "$text: $@";
    $s->send($text);
  }
`

/** What arrives at UDP ports of a namespace: the texts that were sent. */
export class Receiver {
  readonly #child: ChildProcess
  readonly #heard: string[]

  constructor(child: ChildProcess, heard: string[]) {
    this.#child = child
    this.#heard = heard
  }

  /** Since the last time. */
  take(): readonly string[] {
    return this.#heard.splice(0)
  }

  close(): void {
    this.#child.kill('SIGKILL')
  }
}

export async function receive(netns: Netns, ports: readonly number[]): Promise<Receiver> {
  const words = ['/usr/bin/perl', '-e', receiver, ...ports.map(String)]
  const child = spawn('/usr/bin/nsenter', [`--net=${netns.path}`, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const heard: string[] = []
  await new Promise<void>((resolve, reject) => {
    child.once('exit', () => reject(new Error('Cannot receive datagrams')))
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'ready') resolve()
      else heard.push(line)
    })
  })
  return new Receiver(child, heard)
}

export type Datagram = {
  readonly text: string
  readonly source: string
  readonly target: string
  readonly port: number
}

export function send(netns: Netns, all: readonly Datagram[]): void {
  const words = all.map(({ text, source, target, port }) => `${text} ${source} ${target} ${port}`)
  const done = netns.exec(['/usr/bin/perl', '-e', sender, ...words])
  if (done.code !== 0) throw new Error(`Cannot send datagrams: ${done.stderr}`)
}
