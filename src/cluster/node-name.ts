const nameCharactersMax = 253
const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

/** A DNS subdomain (RFC 1123), which is what Kubernetes takes as the name of a Node. */
export const isNodeName = (text: string): boolean =>
  text.length <= nameCharactersMax && text.split('.').every((word) => label.test(word))
