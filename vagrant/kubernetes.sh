#!/bin/sh
# kubelet, kubeadm and kubectl from Kubernetes' own packages. A later release than this one wants
# containerd 2, which Debian 12 does not have.
set -eu
release=v1.35
export DEBIAN_FRONTEND=noninteractive

keyring=/etc/apt/keyrings/kubernetes.gpg
mkdir -p /etc/apt/keyrings
curl -fsSL "https://pkgs.k8s.io/core:/stable:/$release/deb/Release.key" |
  gpg --batch --yes --dearmor -o "$keyring"
echo "deb [signed-by=$keyring] https://pkgs.k8s.io/core:/stable:/$release/deb/ /" \
  >/etc/apt/sources.list.d/kubernetes.list
apt-get -q update
apt-get -q -y install kubeadm kubectl kubelet
apt-mark hold kubeadm kubectl kubelet
