import { imageNames } from '../tools/images.ts'
import { cgroupOf } from './cgroups.ts'
import { clusterDomain, dnsService, podRanges, type Site } from './places.ts'

export const proxyModes = ['nftables', 'iptables'] as const
export type ProxyMode = (typeof proxyModes)[number]

const pki = '/etc/kubernetes/pki'

/** No lowered OOM score and no AppArmor: neither CAP_SYS_RESOURCE nor profiles are needed. */
export const containerdConfiguration = `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${imageNames.pause[0]}"
[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["/opt/cni/bin"]
conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
[plugins."io.containerd.internal.v1.opt"]
path = "/var/lib/containerd/opt"
`

/** kubelet.config.k8s.io/v1beta1; what is not said has the release's default. */
export const kubeletConfiguration = ({ name }: Site): object => ({
  apiVersion: 'kubelet.config.k8s.io/v1beta1',
  kind: 'KubeletConfiguration',
  authentication: {
    anonymous: { enabled: false },
    webhook: { enabled: true },
    x509: { clientCAFile: `${pki}/ca.crt` },
  },
  authorization: { mode: 'Webhook' },
  tlsCertFile: `${pki}/kubelet-server.crt`,
  tlsPrivateKeyFile: `${pki}/kubelet-server.key`,
  containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
  staticPodPath: '/etc/kubernetes/manifests',
  clusterDNS: [dnsService],
  clusterDomain,
  resolvConf: '',
  cgroupDriver: 'cgroupfs',
  cgroupRoot: cgroupOf(name),
  enforceNodeAllocatable: [],
  failCgroupV1: false,
  failSwapOn: false,
  oomScoreAdj: 0,
  maxPods: 250,
  // The disk and the memory are this machine's: how full they are says nothing about a test.
  evictionHard: {
    'imagefs.available': '0%',
    'nodefs.available': '0%',
    'nodefs.inodesFree': '0%',
    'memory.available': '10Mi',
  },
  imageGCHighThresholdPercent: 100,
  imageGCLowThresholdPercent: 99,
})

/** kubeproxy.config.k8s.io/v1alpha1. */
export const proxyConfiguration = ({ name }: Site, mode: ProxyMode): object => ({
  apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
  kind: 'KubeProxyConfiguration',
  mode,
  hostnameOverride: name,
  clientConnection: { kubeconfig: '/etc/kubernetes/proxy.conf' },
  clusterCIDR: podRanges.join(','),
  // The table's size is the machine's, its timeouts are the kernel's.
  conntrack: { maxPerCore: 0, min: 0, tcpEstablishedTimeout: '0s', tcpCloseWaitTimeout: '0s' },
  oomScoreAdj: 0,
})
