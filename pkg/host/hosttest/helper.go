package hosttest

import "strings"

// fakeBackup is the helper that detached commands run: "backup" makes a file and its receipt, as the real one does, without etcd.
func fakeBackup(root string) string {
	return strings.ReplaceAll(`#!/bin/sh
[ "$1" = backup ] || exit 2
for a in "$@"; do
	case $a in
	--dir=*) dir=${a#*=} ;;
	--name=*) name=${a#*=} ;;
	--recipient=*) recipient=${a#*=} ;;
	esac
done
file=$dir/$name.tar.age
echo "backup $name for $recipient" > "ROOT$file"
digest=$(sha256sum < "ROOT$file" | cut -d" " -f1)
size=$(wc -c < "ROOT$file")
mkdir -p ROOT/var/lib/kubewright/receipts/backups
echo "{\"path\":\"$file\",\"size\":$size,\"digest\":\"sha256:$digest\",\"recipient\":\"$recipient\"}" > "ROOT/var/lib/kubewright/receipts/backups/$name.json"
`, "ROOT", root)
}
