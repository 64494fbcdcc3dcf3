/** Keys of the reference plugin `firewall`, and of Tulle for the same. */
export type FirewallConfig = {
  readonly ingressPolicy?: '' | 'open' | 'same-bridge' | 'isolated'
  /** Accept rules where the host's own firewall drops what it forwards. */
  readonly acceptForward?: boolean
  /** Read and of no effect: the rules go where the kernel drops. */
  readonly backend?: string
  readonly iptablesAdminChainName?: string
  readonly firewalldZone?: string
}
