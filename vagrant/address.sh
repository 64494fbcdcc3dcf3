#!/bin/sh
# Gives the link that has $1, the node's IPv4 address, its IPv6 address $2 as well: Vagrant's
# private networks have one family. Run at every start of the machine.
set -eu
device=$(ip -o -4 addr show to "$1" | awk '{ print $2; exit }')
if [ -z "$device" ]; then
  echo "address.sh: no link has $1" >&2
  exit 1
fi
ip addr replace "$2/64" dev "$device" nodad
