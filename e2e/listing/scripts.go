package listing

// Untouched prints what an installation would change on a host without a cluster: files with their size, mode, owner and time of change,
// directories, mounts, units that run and what is enabled, kernel parameters, network interfaces and listeners. Left out are the helper's
// own directories, and what a login or the passing of time leaves behind on any machine: sudo's and systemd's records, sessions, timers,
// addresses' ages.
const Untouched = `
find /etc /opt /usr/local /root /home /srv /lib/systemd /var/lib /var/lib/containerd /var/lib/kubelet /var/lib/etcd -xdev \
  \( -path /var/lib/kubewright -o -path /var/lib/kubewright-helper -o -path /var/lib/systemd -o -path /var/lib/sudo -o -path /var/lib/private \) -prune \
  -o -type d -printf 'dir %p %m %U:%G\n' -o -printf 'file %p %y %s %m %U:%G %T@ %l\n' 2>/dev/null | sort -u
` + mounts + `
systemctl list-units --state=running --type=service,socket --plain --no-legend --no-pager | awk '$1 !~ "^(user@|user-runtime-dir@|ssh@)" {print "unit", $1}' | sort
ls /etc/systemd/system/*.wants 2>/dev/null
ss -Hltn | awk '{print "listens", $4}' | sort
ls /sys/class/net /run/systemd/transient 2>/dev/null | grep -v -e '^session-' -e '[.]scope$'
for key in net/ipv4/ip_forward net/ipv4/conf/all/forwarding net/ipv6/conf/all/forwarding net/ipv4/conf/all/rp_filter; do echo "sysctl $key $(cat /proc/sys/$key)"; done
`

// InService prints what an operation would change on a host of a running cluster, and nothing that changes there by itself: programs,
// configuration and certificates with their times of change, what the host's ledger says, since when units run and with which process,
// and the processes of what pods of the system run. Those that end by themselves when they lose their lease, which a busy machine makes
// them, do not count.
const InService = `
find /etc /opt /usr/local /root -xdev -not -name resolv.conf -not -name '*.lock' -not -path '/etc' -printf 'file %p %y %s %m %U:%G %T@ %l\n' 2>/dev/null | sort -u
for f in /var/lib/kubelet/config.yaml /var/lib/kubelet/kubeadm-flags.env /var/lib/kubewright/ledger.json; do [ -e $f ] && sha256sum $f; done
for unit in kubelet containerd kubewright-apiserver-proxy; do
  systemctl show --property=Id,ActiveState,MainPID,ActiveEnterTimestampMonotonic $unit | paste -sd ' '
done
for program in etcd kube-apiserver kube-proxy flanneld; do
  for pid in $(pgrep -x $program); do echo "process $program $pid"; done
done | sort
for key in net/ipv4/ip_forward net/ipv4/conf/all/forwarding; do echo "sysctl $key $(cat /proc/sys/$key)"; done
`

// Remains prints what a host is made of, to be compared before an installation and after a reset: every file outside of logs with its kind,
// size, mode and owner, and in /etc with its content; packages, programs that run, units, kernel parameters of its own, mounts, links and
// routes. The helper, with the journals it keeps, stays on a host by design; caches, random seeds and records of logins change on any
// machine; kernel parameters outside of net/ belong to the machine that all container hosts share.
const Remains = `
find / /var/lib/containerd /var/lib/kubelet /var/lib/etcd -xdev \
  \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp -o -path /var/log -o -path /var/cache -o -path /var/lib/kubewright \
     -o -path /var/lib/kubewright-helper -o -path /var/lib/systemd -o -path /var/lib/sudo -o -path /var/lib/private -o -name '.pwd.lock' \) -prune \
  -o -type d -printf 'dir %p %m %U:%G\n' -o -printf 'file %p %y %s %m %U:%G %l\n' 2>/dev/null | sort -u
find /etc -xdev -type f -exec sha256sum {} + | sort
dpkg-query -W -f 'package ${Package} ${Version} ${Status}\n' | sort
ps -e -o comm= | grep -v -x -e sshd -e ps -e sudo -e '(sd-pam)' -e systemd -e bash -e sort -e grep -e sed -e agetty -e '(.*)' | sort -u | sed 's/^/process /'
systemctl list-unit-files --no-legend --no-pager --plain | sed 's/^/unit-file /' | sort
systemctl list-units --plain --no-legend --no-pager --type=service,socket,mount | awk '$1 !~ "^(user@|user-runtime-dir@|ssh@|run-user|run-credentials|systemd-tmpfiles-clean|e2scrub|apt-|dpkg-)" {print "unit", $1, $3}' | sort
find /proc/sys/net -type f -not -path '*/neigh/*' -not -path '*/route/flush' -not -name nf_conntrack_count -not -path '*/netfilter/nf_log/*' -not -path '*stable_secret' \
  -not -path '/proc/sys/net/ipv[46]/conf/veth*' -exec grep -H '' {} + 2>/dev/null | sed 's/^/sysctl /' | sort
` + mounts + `
ip -o -br link | sed 's/@if[0-9]*//' | awk '$1 !~ "^veth" {print "link", $1, $2, $3}' | sort
ip route | sed 's/^/route /' | sort
ip -6 route show table all | awk '$0 !~ "expires" {print "route6", $0}' | sort
`

const mounts = `awk '$2 !~ "^/run/(user|credentials)" {print "mount", $2, $3}' /proc/mounts | sort`

// Firewall lists every rule of a host's network, without counters. It is run by this machine in the host's network namespace, because a
// host need not have these programs. The container engine's own name server is asked at another port after each boot.
const Firewall = `{ nft -s list ruleset; for table in iptables-legacy-save ip6tables-legacy-save; do $table 2>/dev/null | grep -v '^#' || true; done; } |
  sed -E '/127\.0\.0\.11\b/s/\b[0-9]{4,5}\b/PORT/g'`
