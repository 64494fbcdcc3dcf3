#!/bin/sh
# Makes a Debian 12 fit for kubelet: containerd with the systemd cgroup driver, forwarding, Tulle's
# image and its executable. A second run changes nothing.
set -eu
project=${PROJECT:-/vagrant}
export DEBIAN_FRONTEND=noninteractive

apt-get -q update
apt-get -q -y install --no-install-recommends \
  apt-transport-https ca-certificates conntrack containerd curl gpg iproute2 procps runc

mkdir -p /etc/containerd
cat >/etc/containerd/config.toml <<'TOML'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10.1"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/opt/cni/bin"
  conf_dir = "/etc/cni/net.d"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
  SystemdCgroup = true
TOML
systemctl enable containerd
systemctl restart containerd

# kubeadm asks for it before the agent is there to see to it.
cat >/etc/sysctl.d/99-kubernetes.conf <<'CONF'
net.ipv4.ip_forward = 1
net.ipv6.conf.all.forwarding = 1
CONF
sysctl -q -p /etc/sysctl.d/99-kubernetes.conf

# No registry has the image; the operator's commands are in the same executable.
tries=0
until ctr version >/dev/null 2>&1; do
  tries=$((tries + 1))
  [ "$tries" -lt 60 ] || { echo 'node.sh: containerd does not answer' >&2; exit 1; }
  sleep 1
done
found=
for image in "$project"/dist/tulle-image-*-"$(dpkg --print-architecture)".tar; do
  [ -e "$image" ] || continue
  ctr -n k8s.io images import "$image"
  found=$image
done
[ -n "$found" ] || { echo 'node.sh: no image in dist/; run conf/image/build.ts' >&2; exit 1; }
install -m 755 "$project/dist/tulle" /usr/local/bin/tulle
