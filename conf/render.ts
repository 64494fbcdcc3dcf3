#!/usr/bin/env node
// conf/tulle.yaml is the files of conf/kustomize/base, one behind the other: for those who have
// kubectl alone, with the comments that kustomize would drop.
//
//   conf/render.ts            writes it
//   conf/render.ts --check    exits 1 if it is not up to date
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

const conf = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const manifestPath = conf('tulle.yaml')

const head = `# Tulle for a Kubernetes cluster: kubectl apply -f conf/tulle.yaml
# Written by conf/render.ts from conf/kustomize/base; after a change here or there:
#   kubectl -n tulle-system rollout restart daemonset/tulle
`

/** The manifest's text. */
export function renderManifest(): string {
  const { resources } = parse(readFileSync(conf('kustomize/base/kustomization.yaml'), 'utf8')) as {
    readonly resources: readonly string[]
  }
  const texts = resources.map((name) => readFileSync(conf(`kustomize/base/${name}`), 'utf8'))
  return `${head}${texts.map((text) => `---\n${text}`).join('')}`
}

function main(): void {
  const text = renderManifest()
  if (process.argv[2] !== '--check') writeFileSync(manifestPath, text)
  else if (readFileSync(manifestPath, 'utf8') !== text) {
    process.stderr.write(`${manifestPath} is not what conf/render.ts writes\n`)
    process.exitCode = 1
  }
}

if (import.meta.main) main()
