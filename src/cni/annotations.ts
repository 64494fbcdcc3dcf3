import type { NetworkConfig } from './network-config.ts'

// Annotations of the pod, which containerd and CRI-O send where the configuration has the
// capability "io.kubernetes.cri.pod-annotations": who writes the pod may then ask for these.

/** A comma list of addresses. */
export const ipsAnnotation = 'tulle.dev/ips'
export const macAnnotation = 'tulle.dev/mac'

/** The annotation's text; undefined if the pod has none of that name, or an empty one. */
export function annotationOf({ runtimeConfig }: NetworkConfig, name: string): string | undefined {
  const annotations = runtimeConfig?.['io.kubernetes.cri.pod-annotations'] ?? {}
  const text = Object.hasOwn(annotations, name) ? annotations[name]?.trim() : undefined
  return text === '' ? undefined : text
}
