/** Of the leases, where nobody names another. */
export const defaultDataDir = '/var/lib/cni/tulle'
/** Of the runtime's network lists. */
export const defaultConfDir = '/etc/cni/net.d'
