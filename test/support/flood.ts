import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Netns } from './netns.ts'

// UDP to each target, over and over; a line for every round in which all could be sent. Perl, as it
// is there before Node would have started.
const program = `
  use Socket qw(:all);
  $| = 1;
  my @to = map {
    my ($error, $found) = getaddrinfo($_, 4242, {flags => AI_NUMERICHOST, socktype => SOCK_DGRAM});
    socket(my $s, $found->{family}, SOCK_DGRAM, 0) or die "socket: $!";
    [$s, $found->{addr}]
  } @ARGV;
  while (1) {
    my $sent = grep { defined send($_->[0], "x", 0, $_->[1]) } @to;
    print "round\\n" if $sent == @to;
    select(undef, undef, undef, 0.0002);
  }
`

/** A pod's program that sends from the first moment in which its namespace can. */
export class Flood {
  readonly #child: ChildProcess
  #rounds = 0

  constructor(from: Netns, targets: readonly string[]) {
    const words = [`--net=${from.path}`, '/usr/bin/perl', '-e', program, ...targets]
    this.#child = spawn('/usr/bin/nsenter', words, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child.stdout?.on('data', (bytes: Buffer) => {
      this.#rounds += bytes.toString().split('\n').length - 1
    })
  }

  /** Resolves when that many more rounds went out to every target. */
  async more(rounds: number): Promise<void> {
    const wanted = this.#rounds + rounds
    while (this.#rounds < wanted) await once(this.#child.stdout as NodeJS.EventEmitter, 'data')
  }

  async close(): Promise<void> {
    const gone = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await gone
  }
}
