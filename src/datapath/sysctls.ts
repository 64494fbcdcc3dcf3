import type { Attachment } from './attachment.ts'

/** One file under /proc/sys, as the pod's or the host's namespace sees it. */
export type Sysctl = {
  readonly side: 'pod' | 'host'
  readonly path: string
  readonly value: string
  /**
   * must: without it the pod has no network as asked; should: a precaution, worth a note if it
   * can't be had.
   */
  readonly need: 'must' | 'should'
}

const hasFamily = ({ ips }: Attachment, family: 4 | 6): boolean =>
  ips.some(({ address }) => address.includes(':') === (family === 6))

/**
 * Set between the pod's interface being there and its coming up. `ipv6` false: the kernel runs
 * without IPv6.
 */
export function podSysctls(attachment: Attachment, ipv6: 'on' | 'off'): readonly Sysctl[] {
  const conf = (
    family: 'ipv4' | 'ipv6',
    key: string,
    value: string,
    need: Sysctl['need'],
  ): Sysctl => ({
    side: 'pod',
    path: `net/${family}/conf/${attachment.ifname}/${key}`,
    value,
    need,
  })
  const isBridged = attachment.mode === 'bridge'
  const announce =
    isBridged && hasFamily(attachment, 4) ? [conf('ipv4', 'arp_notify', '1', 'should')] : []
  if (ipv6 === 'off') return announce
  const wanted = hasFamily(attachment, 6)
    ? [
        conf('ipv6', 'disable_ipv6', '0', 'must'),
        conf('ipv6', 'accept_dad', '0', 'should'),
        conf('ipv6', 'keep_addr_on_down', '1', 'should'),
        ...(isBridged ? [conf('ipv6', 'ndisc_notify', '1', 'should')] : []),
      ]
    : []
  return [...announce, conf('ipv6', 'accept_ra', '0', 'should'), ...wanted]
}

/**
 * No router advertisement from a pod may reconfigure the host (CVE-2020-10749). A bridge keeps its
 * link-local address, which it probes its neighbours from, and has it at once.
 */
export function hostSysctls(attachment: Attachment, ipv6: 'on' | 'off'): readonly Sysctl[] {
  if (ipv6 === 'off') return []
  const { bridge, link } = attachment
  const conf = (name: string, key: string, value: string, need: Sysctl['need']): Sysctl => ({
    side: 'host',
    path: `net/ipv6/conf/${name}/${key}`,
    value,
    need,
  })
  const carriesIpv6 = bridge
    ? bridge.addresses.some((text) => text.includes(':'))
    : hasFamily(attachment, 6)
  return [
    conf(link, 'accept_ra', '0', 'should'),
    ...(bridge ? [conf(bridge.name, 'accept_ra', '0', 'should')] : []),
    ...(bridge ? [conf(bridge.name, 'accept_dad', '0', 'should')] : []),
    ...(carriesIpv6 ? [conf(bridge?.name ?? link, 'disable_ipv6', '0', 'must')] : []),
  ]
}

/**
 * Forwarding that the pods need: routed pods always, bridged ones if the bridge is their gateway.
 * Policies of bridged pods hold where the inet hooks see what a bridge forwards.
 */
export function forwardingSysctls(attachment: Attachment): readonly Sysctl[] {
  const routes = attachment.mode === 'routed' || (attachment.bridge?.addresses.length ?? 0) > 0
  const isPolicedBridge = attachment.mode === 'bridge' && attachment.isPoliced === true
  const sysctl = (path: string): Sysctl => ({ side: 'host', path, value: '1', need: 'must' })
  return [
    ...(routes && hasFamily(attachment, 4) ? [sysctl('net/ipv4/ip_forward')] : []),
    ...(routes && hasFamily(attachment, 6) ? [sysctl(ipv6Forwarding)] : []),
    ...(isPolicedBridge && hasFamily(attachment, 4) ? [sysctl(bridgeHooks('iptables'))] : []),
    ...(isPolicedBridge && hasFamily(attachment, 6) ? [sysctl(bridgeHooks('ip6tables'))] : []),
  ]
}

/** Of the module br_netfilter. */
const bridgeHooks = (family: 'iptables' | 'ip6tables'): string =>
  `${bridgeFolder}bridge-nf-call-${family}`
export const bridgeFolder = 'net/bridge/'

/**
 * Switching this on makes every interface with accept_ra 1 deaf to router advertisements (Linux
 * ip-sysctl.rst).
 */
export const ipv6Forwarding = 'net/ipv6/conf/all/forwarding'
