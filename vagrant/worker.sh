#!/bin/sh
# Joins the cluster of control-plane.sh as the node with the addresses $1 and $2.
set -eu
project=${PROJECT:-/vagrant}

[ ! -e /etc/kubernetes/kubelet.conf ] || exit 0
sed "s/NODE_ADDRESSES/$1,$2/" "$project/vagrant/worker.yaml" >/etc/kubernetes/worker.yaml
kubeadm join --config /etc/kubernetes/worker.yaml
