import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { Architecture } from './libraries.ts'
import { type TarEntry, tarArchive } from './tar-archive.ts'

export type ImageWish = {
  /** "localhost/tulle:1.2.3" */
  readonly name: string
  readonly architecture: Architecture
  /** Each an archive of its own: what changes seldom goes first. */
  readonly layers: readonly (readonly TarEntry[])[]
  readonly config: Readonly<Record<string, unknown>>
}

type Blob = { readonly digest: string; readonly bytes: Buffer }

/**
 * An image as a file that is both an OCI layout (containerd, podman, kind) and what `docker load`
 * reads: index.json and manifest.json name the same blobs.
 */
export function imageArchive({ name, architecture, layers, config }: ImageWish): Buffer {
  const layerBlobs = layers.map((entries) => blobOf(tarArchive(entries)))
  const configBlob = jsonBlob({
    architecture,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: layerBlobs.map(({ digest }) => `sha256:${digest}`) },
    history: layerBlobs.map(() => ({ created_by: 'conf/image/build' })),
  })
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: descriptor('application/vnd.oci.image.config.v1+json', configBlob),
    layers: layerBlobs.map((blob) => descriptor('application/vnd.oci.image.layer.v1.tar', blob)),
  })
  const index = {
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.index.v1+json',
    manifests: [
      {
        ...descriptor('application/vnd.oci.image.manifest.v1+json', manifest),
        platform: { architecture, os: 'linux' },
        annotations: {
          'io.containerd.image.name': name,
          'org.opencontainers.image.ref.name': name,
        },
      },
    ],
  }
  const docker = [{ Config: pathOf(configBlob), RepoTags: [name], Layers: layerBlobs.map(pathOf) }]
  return tarArchive([
    folder('blobs'),
    folder('blobs/sha256'),
    ...[...layerBlobs, configBlob, manifest].map((blob) => file(pathOf(blob), blob.bytes)),
    file('index.json', json(index)),
    file('manifest.json', json(docker)),
    file('oci-layout', json({ imageLayoutVersion: '1.0.0' })),
  ])
}

const blobOf = (bytes: Buffer): Blob => ({
  digest: createHash('sha256').update(bytes).digest('hex'),
  bytes,
})
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))
const jsonBlob = (value: unknown): Blob => blobOf(json(value))
const pathOf = ({ digest }: Blob): string => `blobs/sha256/${digest}`
const descriptor = (mediaType: string, { digest, bytes }: Blob) => ({
  mediaType,
  digest: `sha256:${digest}`,
  size: bytes.length,
})

export const folder = (path: string, mode = 0o755): TarEntry => ({ kind: 'folder', path, mode })
export const file = (path: string, bytes: Buffer, mode = 0o644): TarEntry => ({
  kind: 'file',
  path,
  mode,
  bytes,
})
