#!/bin/sh
# The control plane of kubeadm and, before any pod needs it, the pod network. $1 and $2 are the
# node's addresses, which control-plane.yaml has too.
set -eu
project=${PROJECT:-/vagrant}
export KUBECONFIG=/etc/kubernetes/admin.conf

[ -e "$KUBECONFIG" ] || kubeadm init --config "$project/vagrant/control-plane.yaml"
mkdir -p ~/.kube # of root, whom Vagrant runs this as
cp "$KUBECONFIG" ~/.kube/config
kubectl apply -f "$project/conf/tulle.yaml"
kubectl -n tulle-system rollout status daemonset/tulle --timeout=300s
