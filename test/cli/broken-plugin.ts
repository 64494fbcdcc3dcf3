import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A plugin in a few lines of shell, right in what the cases `add`, `del`, `del-twice`,
 * `del-netns-gone` and `version` ask for: a veth pair with an address.
 */
const whole = `#!/bin/sh
host="shell$(echo "$CNI_CONTAINERID" | tr -dc 0-9)"
address="10.99.0.$(echo "$CNI_CONTAINERID" | tr -dc 0-9)/16"
pod="\${CNI_NETNS##*/}"
case "$CNI_COMMAND" in
VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.4.0","1.0.0"]}' ;;
ADD)
  version=$(sed 's/.*"cniVersion":"\\([0-9.]*\\)".*/\\1/')
  family=''
  if [ "$version" = 0.4.0 ]; then family='"version":"4",'; fi
  ip link add "$host" type veth peer name "$CNI_IFNAME" netns "$pod" || exit 1
  ip -n "$pod" addr add "$address" dev "$CNI_IFNAME"
  ip -n "$pod" link set "$CNI_IFNAME" up
  echo '{"cniVersion":"'"$version"'",
    "interfaces":[{"name":"'"$CNI_IFNAME"'","sandbox":"'"$CNI_NETNS"'"}],
    "ips":[{'"$family"'"address":"'"$address"'","interface":0}]}'
  ;;
DEL) ip link del "$host" 2>/dev/null; exit 0 ;;
esac
`

export type Defect = Readonly<{ name: string; from: string; to: string }>

/** The plugin, with one thing about it wrong. */
export function writePlugin(folder: string, defect?: Defect): string {
  const file = join(folder, 'shell')
  if (defect && !whole.includes(defect.from)) throw new Error(`Cannot break: ${defect.from}`)
  const text = defect ? whole.replace(defect.from, defect.to) : whole
  writeFileSync(file, text, { mode: 0o755 })
  return file
}
