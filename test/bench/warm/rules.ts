import type { PeerId } from '../cases.ts'
import type { Verb } from '../job.ts'
import type { RowName } from '../result.ts'
import type { Rule } from '../targets.ts'
import {
  burstId,
  burstVariant,
  type Outfit,
  oneByOneId,
  outfitWords,
  rebootBurst,
} from './cases.ts'

const row = (peer: PeerId, verb: Verb, outfit: Outfit): RowName => ({
  caseId: oneByOneId,
  peer,
  verb,
  variant: outfitWords[outfit],
})

const burst = (count: number, peer: PeerId): RowName => ({
  caseId: burstId,
  peer,
  verb: 'ADD',
  variant: burstVariant('full', count),
})

export const warmRules: readonly Rule[] = [
  {
    id: 'warm-add',
    text: 'warm full ADD ÷ newest bridge without masquerade',
    figure: 'ratio',
    limit: 0.4,
    left: row('warm', 'ADD', 'full'),
    right: row('newest', 'ADD', 'bridge'),
    beside: row('debian', 'ADD', 'bridge'),
  },
  {
    id: 'warm-add-floor',
    text: 'warm full ADD ÷ kernel floor, bridge with masquerade',
    figure: 'ratio',
    limit: 5,
    left: row('warm', 'ADD', 'full'),
    right: row('floor', 'ADD', 'bridge-masq'),
  },
  {
    id: 'warm-del',
    text: 'warm DEL ÷ newest bridge, both with masquerade',
    figure: 'ratio',
    limit: 0.15,
    left: row('warm', 'DEL', 'bridge-masq'),
    right: row('newest', 'DEL', 'bridge-masq'),
  },
  {
    id: 'warm-del-full',
    text: 'warm full DEL ÷ the same bridge',
    figure: 'ratio',
    limit: 0.15,
    left: row('warm', 'DEL', 'full'),
    right: row('newest', 'DEL', 'bridge-masq'),
  },
  {
    id: 'warm-burst',
    text: `${rebootBurst} warm full ADDs at once ÷ newest five plugins`,
    figure: 'ratio',
    limit: 0.02,
    left: burst(rebootBurst, 'warm'),
    right: burst(rebootBurst, 'newest'),
  },
  {
    id: 'warm-cpu',
    text: 'CPU time of a warm full ADD ÷ newest five plugins',
    figure: 'ratio',
    limit: 0.05,
    of: 'CPU time',
    left: row('warm', 'ADD', 'full'),
    right: row('newest', 'ADD', 'full'),
  },
  ...(['STATUS', 'VERSION'] as const).map(
    (verb): Rule => ({
      id: `warm-${verb.toLowerCase()}`,
      text: `warm ${verb}`,
      figure: 'value',
      limit: 2,
      left: row('warm', verb, 'full'),
    }),
  ),
]
