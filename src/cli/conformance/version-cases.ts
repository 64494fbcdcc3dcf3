import { isAtLeast, newestVersion } from '../../cni/version.ts'
import { parseJson, refused, succeeded } from './answers.ts'
import type { Case } from './case.ts'

export const versionCases: readonly Case[] = [
  {
    name: 'version',
    withoutPod: true,
    text: 'VERSION lists versions, with the dummy environment that libcni sends',
    basis: 'specification',
    scope: 'versions',
    examine: ({ bench, version }) => {
      const dummy = { CNI_NETNS: 'dummy', CNI_IFNAME: 'dummy', CNI_PATH: 'dummy' }
      const ran = bench.ask('VERSION', { cniVersion: version }, dummy)
      const answer = parseJson(ran.stdout)
      const supported = answer?.supportedVersions
      const isList = Array.isArray(supported) && supported.includes(version)
      return [
        ...succeeded('VERSION', ran),
        ...(isList ? [] : [`VERSION: supportedVersions does not hold ${version}`]),
        ...(typeof answer?.cniVersion === 'string' ? [] : ['VERSION: cniVersion is missing']),
      ]
    },
  },
  {
    name: 'version-echo',
    withoutPod: true,
    text: 'VERSION answers in the version that it is asked in',
    basis: 'specification',
    scope: 'versions',
    since: '1.0.0',
    examine: ({ bench, version }) => {
      const ran = bench.ask('VERSION', { cniVersion: version })
      const found = parseJson(ran.stdout)?.cniVersion
      return found === version ? [] : [`VERSION: cniVersion is ${JSON.stringify(found)}`]
    },
  },
  {
    name: 'error-version',
    text: 'An error object has cniVersion, and it is that of the configuration',
    basis: 'specification',
    scope: 'versions',
    examine: ({ bench, version }) => {
      const conf = bench.conf(version)
      const pod = bench.makePod(conf)
      const ran = bench.call('ADD', pod, { ...conf, name: '../bad' })
      const found = parseJson(ran.stdout)?.cniVersion
      const answer = refused('ADD with a bad name', ran)
      if (answer.length > 0 || found === version) return answer
      return [`ADD with a bad name: cniVersion of the error is ${JSON.stringify(found)}`]
    },
  },
  {
    name: 'newest-version',
    withoutPod: true,
    text: `It knows the newest version of the specification, ${newestVersion}`,
    basis: 'practice',
    scope: 'once',
    examine: ({ version }) =>
      isAtLeast(version, newestVersion) ? [] : [`the newest version it knows is ${version}`],
  },
]
