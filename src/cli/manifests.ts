import { ManifestFault, readManifests as read } from '../kube/manifest-files.ts'
import type { Manifest } from '../policy/from-objects.ts'
import { InputFault } from './command.ts'

/** Every document of every manifest below a folder, in the order of their paths; one at least. */
export function readManifests(from: string): readonly Manifest[] {
  const manifests = readOrRefuse(from)
  if (manifests.length > 0) return manifests
  throw new InputFault(`${from} has no manifest (*.yaml, *.yml, *.json)`)
}

function readOrRefuse(from: string): readonly Manifest[] {
  try {
    return read(from)
  } catch (cause) {
    throw cause instanceof ManifestFault ? new InputFault(cause.message, { cause }) : cause
  }
}
