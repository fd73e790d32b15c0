#!/bin/sh
# First process of a container host: make the container look like a booted machine, then become systemd.
set -eu

# Docker mounts these read-only unless a container is privileged; systemd and kubelet must write cgroups.
mount -o remount,rw /sys
while read -r _ _ _ _ point _; do
	case $point in
	/sys/fs/cgroup | /sys/fs/cgroup/*)
		mount -o remount,bind,rw "$point"
		mount -o remount,rw "$point" 2>/dev/null || true
		;;
	esac
done </proc/self/mountinfo

# Mounts made by kubelet have to propagate into pods, as on a real machine; mounts of the machine outside must not come in.
mount --make-rprivate /
mount --make-rshared /

# Docker's internal networks drop what would leave, but some versions still set a default route. An air-gapped machine
# has none, and the product must not lean on one.
ip route flush default

# Docker binds a resolv.conf that names a loopback resolver, which pods could not reach.
if [ -f /etc/e2e-host/resolv.conf ]; then
	cat /etc/e2e-host/resolv.conf >/etc/resolv.conf
fi

# Only at the first start: the users, and their passwords, which must not stay behind in the clear.
if [ -f /etc/e2e-host/users ]; then
	while read -r name; do
		useradd --create-home --shell /bin/bash "$name"
	done </etc/e2e-host/users
	rm /etc/e2e-host/users
fi
if [ -f /etc/e2e-host/passwords ]; then
	chpasswd </etc/e2e-host/passwords
	rm /etc/e2e-host/passwords
fi

# systemd reads "kernel" options from its own arguments in a container. The last ones that knew cgroup v1 want to be told.
if [ ! -f /sys/fs/cgroup/cgroup.controllers ]; then
	exec /lib/systemd/systemd systemd.unified_cgroup_hierarchy=0 SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1
fi
exec /lib/systemd/systemd
