import type { BrokenList, NetworkList } from '../../store/network-lists.ts'
import { type Check, type Examined, error, listed, ok, unknown, warning } from './check.ts'
import type { Facts } from './facts.ts'

// What the runtime finds when it starts a pod: the first valid network of the folder, and each of
// its plugins in the binaries' folder.

export const networks: Check = (facts) => {
  const { lists } = facts
  const broken = lists.filter((list): list is BrokenList => 'problem' in list)
  const valid = lists.filter((list): list is NetworkList => 'plugins' in list)
  return [...broken.map(brokenList), ...winner(valid, facts)]
}

const brokenList = ({ file, problem }: BrokenList): Examined =>
  error('network-file', {
    found: `${file}: ${problem}`,
    meaning: 'the runtime passes it over, or starts no pod at all',
    remedy: 'correct it, or move it out of the folder',
  })

const types = ({ plugins }: NetworkList): readonly string[] => plugins.map(({ type }) => type)

/** By its name, or by another plugin's name that is a link to it. */
const isTulle = (list: NetworkList, { binary, ownNames }: Facts): boolean =>
  types(list).some(
    (type) => type === 'tulle' || (ownNames.includes(type) && binary(type) === 'same'),
  )

function winner(valid: readonly NetworkList[], facts: Facts): readonly Examined[] {
  const { confDir } = facts
  const [first, ...others] = valid
  if (!first)
    return [
      error('network', {
        found: `${confDir} has no network`,
        meaning: 'the node stays NotReady, and no pod starts',
        remedy: 'start "tulle agent", which writes 10-tulle.conflist; or put a list there yourself',
      }),
    ]
  const shown = `${first.file} (${first.name}: ${types(first).join(', ')})`
  if (others.length === 0) return [ok('network', shown)]
  const ours = isTulle(first, facts) ? undefined : others.find((list) => isTulle(list, facts))
  if (ours)
    return [
      error('network', {
        found: `runtimes take ${shown}, the first by name, and not Tulle's ${ours.file}`,
        meaning: 'pods that start now get the other network',
        remedy: `move ${first.file} out of the folder; pods that run keep what they have`,
      }),
    ]
  return [
    warning('network', {
      found: `${valid.length} networks: runtimes take ${shown}, the first by name`,
      meaning:
        `${listed(others.map(({ file }) => file))} does nothing, ` +
        'or wins once the first is gone',
      remedy: 'leave the one that you want, and move the others out of the folder',
    }),
  ]
}

export const binaries: Check = (facts) => {
  const first = facts.lists.find((list): list is NetworkList => 'plugins' in list)
  if (!first) return []
  return [...new Set(types(first))].map((type) => examineBinary(type, facts))
}

function examineBinary(type: string, { binDir, binary, ownNames }: Facts): Examined {
  const path = `${binDir}/${type}`
  switch (binary(type)) {
    case 'absent':
      return error('plugin-binary', {
        found: `${path} is not there`,
        meaning: 'no pod starts: the network names a plugin that the runtime does not find',
        remedy: ownNames.includes(type)
          ? `"tulle install --dir ${binDir}${type === 'tulle' ? '' : ` --names ${type}`}"`
          : 'install it',
      })
    case 'not-executable':
      return error('plugin-binary', {
        found: `${path} is no executable file`,
        meaning: 'no pod starts',
        remedy: `"chmod 755 ${path}", or install it again`,
      })
    case 'no-executable':
      return error('plugin-binary', {
        found: `${path} is Tulle's launcher, and the executable beside it is gone`,
        meaning: 'no pod starts whenever the agent does not answer',
        remedy: `"tulle install --warm --dir ${binDir}"`,
      })
    case 'other-build':
      return warning('plugin-binary', {
        found: `${path} is another build of Tulle than this one`,
        meaning: 'pods start by that one, and what you read here is of this one',
        remedy: `"tulle install --dir ${binDir}" with the newer of the two`,
      })
    case 'same':
      return ok('plugin-binary', `${path} is this executable`)
    default:
      return ok('plugin-binary', `${path} is there`)
  }
}

export const firewall: Check = ({ droppingChains, legacyTables, store }) => {
  const found: Examined[] = []
  if ('unseen' in droppingChains) found.push(unknown('firewall', droppingChains.unseen))
  else if (droppingChains.length > 0)
    found.push(
      error('firewall', {
        found: `${listed(droppingChains)} drops what it does not know, and lacks Tulle's rules`,
        meaning: 'packets of pods are dropped where the host forwards them',
        remedy:
          "a firewall that was loaded anew has lost them: the next pod's start puts them back, " +
          'or accept "tul+" there as input and output link',
      }),
    )
  else if (store !== null && 'podLinks' in store && store.podLinks.length > 0)
    found.push(ok('firewall', 'no forward chain drops packets of pods'))
  if (legacyTables.includes('filter'))
    found.push(
      warning('firewall', {
        found: 'iptables-legacy has a filter table, which Tulle cannot look into',
        meaning: 'if its FORWARD chain drops, packets of pods are dropped too',
        remedy: '"iptables-legacy -S FORWARD" tells; move to iptables-nft, or accept "tul+" there',
      }),
    )
  return found
}
