import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { cgroupOf, makeCgroup, removeCgroups } from './cgroups.ts'
import { Computer, programs } from './computer.ts'
import {
  containerdConfiguration,
  kubeletConfiguration,
  type ProxyMode,
  proxyConfiguration,
} from './node-configuration.ts'
import { Part } from './part.ts'
import { pair, writeKubeconfig } from './pki.ts'
import type { Site } from './places.ts'
import { plug, unplug } from './underlay.ts'

/** Debian's containernetworking-plugins: containerd runs `loopback` besides the network's own. */
const loopbackPlugin = '/usr/lib/cni/loopback'

/** A node: containerd, kubelet and kube-proxy on a computer of their own. */
export class ClusterNode {
  readonly site: Site
  readonly computer: Computer
  readonly containerd: Part
  readonly kubelet: Part
  readonly proxy: Part

  constructor(site: Site) {
    this.site = site
    this.computer = new Computer(site)
    this.containerd = new Part(this.computer, 'containerd', [
      ...['containerd', '--config', '/etc/containerd/config.toml'],
    ])
    this.kubelet = new Part(this.computer, 'kubelet', [
      'kubelet',
      '--config=/etc/kubernetes/kubelet.json',
      '--kubeconfig=/etc/kubernetes/kubelet.conf',
      `--hostname-override=${site.name}`,
      `--node-ip=${site.v4},${site.v6}`,
    ])
    this.proxy = new Part(this.computer, 'kube-proxy', [
      'kube-proxy',
      '--config=/etc/kubernetes/proxy.json',
    ])
  }

  get name(): string {
    return this.site.name
  }

  get parts(): readonly Part[] {
    return [this.containerd, this.kubelet, this.proxy]
  }

  /** The disk as an installer leaves it: configuration, certificates, the loopback plugin. */
  makeDisk(mode: ProxyMode): void {
    this.computer.makeDisk()
    const kubernetes = join(this.computer.disk, 'etc/kubernetes')
    for (const folder of ['pki', 'manifests']) {
      mkdirSync(join(kubernetes, folder), { recursive: true })
    }
    copyFileSync(pair('ca').certificate, join(kubernetes, 'pki/ca.crt'))
    const server = pair(`kubelet-${this.name}-server`)
    copyFileSync(server.certificate, join(kubernetes, 'pki/kubelet-server.crt'))
    copyFileSync(server.key, join(kubernetes, 'pki/kubelet-server.key'))
    writeKubeconfig(join(kubernetes, 'kubelet.conf'), pair(`kubelet-${this.name}`))
    writeKubeconfig(join(kubernetes, 'proxy.conf'), pair('proxy'))
    const write = (name: string, value: object): void =>
      writeFileSync(join(kubernetes, name), `${JSON.stringify(value, undefined, 2)}\n`)
    write('kubelet.json', kubeletConfiguration(this.site))
    write('proxy.json', proxyConfiguration(this.site, mode))
    const { disk } = this.computer
    for (const folder of ['etc/containerd', 'etc/cni/net.d', 'opt/images']) {
      mkdirSync(join(disk, folder), { recursive: true })
    }
    writeFileSync(join(disk, 'etc/containerd/config.toml'), containerdConfiguration)
    copyFileSync(loopbackPlugin, join(disk, 'opt/cni/bin', basename(loopbackPlugin)))
  }

  /** Network, processes and containerd, up to where its CRI answers. */
  async boot(): Promise<void> {
    await plug(this.site)
    makeCgroup(this.name)
    await this.computer.boot()
    await this.startContainerd()
  }

  async startContainerd(): Promise<void> {
    this.containerd.start()
    await this.containerd.ready(async () => (await this.ctr('version')).code === 0)
  }

  /** Starts the kubelet and kube-proxy, without waiting for the API server. */
  join(): void {
    this.kubelet.start()
    this.proxy.start()
  }

  ctr(...words: readonly string[]) {
    return this.computer.exec([`${programs}/ctr`, '--namespace=k8s.io', ...words])
  }

  /** Puts an image of a docker-archive into the store that CRI reads. */
  async importImage(tar: string): Promise<void> {
    const onDisk = join(this.computer.disk, 'opt/images', basename(tar))
    copyFileSync(tar, onDisk)
    const inside = `/opt/images/${basename(tar)}`
    await this.computer.must([`${programs}/ctr`, '--namespace=k8s.io', 'images', 'import', inside])
  }

  /** Every process is killed and every namespace gone; the disk stays. */
  async powerOff(): Promise<void> {
    await this.computer.cut()
    await unplug(this.site)
    await removeCgroups(cgroupOf(this.name))
  }

  async reboot(): Promise<void> {
    await this.powerOff()
    await this.boot()
    this.join()
  }
}
