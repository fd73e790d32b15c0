#!/usr/bin/env bash
# Makes sure that a Debian or Ubuntu machine has what building a bundle and running container hosts need. It installs what is
# missing and nothing else, so it costs nothing when all is there.
# usage: hack/setup.sh [--cross]   --cross adds what compiling the C parts of bundles for linux/arm64 needs.
set -euo pipefail

if ! command -v go >/dev/null; then
	echo "the go command is not in PATH: install Go 1.26 or newer from https://go.dev/dl/ and try again" >&2
	exit 1
fi

missing=()
need_program() { command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || missing+=("$2"); }
need_file() { [ -e "$1" ] || missing+=("$2"); }

need_program git git
need_program gcc gcc
need_program docker docker.io
need_program debootstrap debootstrap
need_program dpkg-deb dpkg
need_program ssh openssh-client
need_program nft nftables
need_file /usr/include/stdlib.h libc6-dev
need_file /etc/ssl/certs/ca-certificates.crt ca-certificates
if [ "${1:-}" = --cross ]; then
	need_program aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu
	need_file /usr/aarch64-linux-gnu/lib/libc.a libc6-dev-arm64-cross
fi

[ "${#missing[@]}" -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
	echo "this machine lacks what these Debian packages hold, and has no apt-get to install them: ${missing[*]}" >&2
	echo "install the same from your distribution and try again" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "these Debian packages are missing: ${missing[*]}" >&2
	echo "run 'make setup' as root once, or install them yourself" >&2
	exit 1
fi
echo "installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
install_missing() {
	apt-get install --yes --quiet --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" </dev/null
}
# A fresh machine has no package lists, an old one has lists that name packages which are gone.
install_missing 2>/dev/null || { apt-get update --quiet </dev/null && install_missing; }
