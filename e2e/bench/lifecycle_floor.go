package main

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/yaml"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// secondDay is what an administrator does by hand to the cluster that the floor installed.
type secondDay struct {
	*floor
	remotes []*remote
	seed    *remote
}

// install is the floor's installation, with the connections kept.
func (s *secondDay) install(ctx context.Context) error {
	o := options()
	remotes, seed, err := s.connect(ctx, append(o.ControlPlanes, o.Workers...))
	s.remotes, s.seed = remotes, seed
	if err != nil {
		return err
	}
	return s.together(ctx, remotes, seed)
}

func (s *secondDay) close() {
	for _, r := range s.remotes {
		_ = r.client.Close()
	}
}

// upgrade follows kubeadm's documentation, with what can be done beforehand done on all hosts at once: programs are copied aside and images
// pulled; then node after node, control planes first, is upgraded, drained, given its new kubelet and opened again.
func (s *secondDay) upgrade(ctx context.Context) error {
	release, err := s.bundle.Release(version)
	if err != nil {
		return err
	}
	s.release, s.version = release, version
	group, together := errgroup.WithContext(ctx)
	for _, r := range s.remotes {
		group.Go(func() error {
			pulls, copying := errgroup.WithContext(together)
			pulls.Go(func() error {
				_, err := r.script(copying, pullScript(images(release, r.controlPlane)))
				return wrap("pull images", err)
			})
			pulls.Go(func() error {
				return wrap("copy files", r.copyFiles(copying, newPrograms(s.bundle, release, r.controlPlane)))
			})
			return pulls.Wait()
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	s.mark("content is everywhere")
	config, err := upgradeConfig(s.over)
	if err != nil {
		return err
	}
	for n, r := range s.remotes {
		command := "upgrade node"
		if n == 0 {
			command = "upgrade apply"
		}
		if _, err := r.script(ctx, "install -m 755 "+stagedDir+"/kubeadm "+binDir+"/kubeadm\n"+kubeadm(command, config)); err != nil {
			return wrap("kubeadm "+command, err)
		}
		if _, err := s.seed.script(ctx, kubectl+" drain "+r.Name+" --ignore-daemonsets --delete-emptydir-data --timeout="+settle+"\n"); err != nil {
			return wrap("drain "+r.Name, err)
		}
		if _, err := r.script(ctx, "for f in "+stagedDir+"/*; do install -m 755 $f "+binDir+"/; done\nrm -r "+stagedDir+"\nsystemctl daemon-reload\nsystemctl restart kubelet\n"); err != nil {
			return wrap("exchange kubelet", err)
		}
		if _, err := s.seed.script(ctx, fmt.Sprintf(`until [ "$(%[1]s get node %[2]s -o 'jsonpath={.status.nodeInfo.kubeletVersion}')" = %[3]s ]; do :; done
%[1]s wait --for=condition=Ready node %[2]s --timeout %[4]s
%[1]s uncordon %[2]s
`, kubectl, r.Name, version, settle)); err != nil {
			return wrap("wait for "+r.Name, err)
		}
		s.mark(r.Name + " upgraded")
	}
	return s.settled(ctx, s.seed)
}

// addWorker prepares one more host and joins it.
func (s *secondDay) addWorker(ctx context.Context) error {
	h, err := s.fleet.Host(newWorker)
	if err != nil {
		return err
	}
	r, err := dial(ctx, s.fleet, h, false, s.log)
	if err != nil {
		return err
	}
	s.remotes = append(s.remotes, r)
	// The token of the installation may have ended.
	token, err := s.seed.script(ctx, "kubeadm token create --kubeconfig /etc/kubernetes/admin.conf --ttl 30m\n")
	if err != nil {
		return err
	}
	s.secrets.token = strings.TrimSpace(token)
	if err := s.join(ctx, r, s.seed.Host); err != nil {
		return err
	}
	// kubeadm ends when kubelet has its certificate, which is before there is a node that could be waited for.
	if _, err := s.seed.script(ctx, kubectl+" wait --for=create node/"+newWorker+" --timeout "+settle+"\n"); err != nil {
		return wrap("wait for the node to be there", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		// Ready, and with flannel's pod running, a node has no network for pods yet: flannel's configuration was put there beforehand.
		_, err := r.script(ctx, "until [ -e /run/flannel/subnet.env ]; do sleep 0.05; done\n")
		s.mark("pod network of " + r.Name)
		return wrap("wait for the pod network", err)
	})
	group.Go(func() error { return s.settled(ctx, s.seed) })
	return group.Wait()
}

// reset is kubeadm's, on all hosts at once, with what it leaves behind removed by hand.
func (s *secondDay) reset(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range s.remotes {
		group.Go(func() error {
			_, err := r.script(ctx, resetScript)
			return wrap("reset", err)
		})
	}
	return group.Wait()
}

const resetScript = `kubeadm reset --force >/dev/null 2>&1
systemctl disable -q --now kubelet containerd
for pid in $(pgrep containerd-shim); do kill -9 $pid || true; done
awk '$2 ~ "^/(run/containerd|var/lib/kubelet)/" {print $2}' /proc/mounts | sort -r | xargs -r umount
for link in cni0 flannel.1; do ip link delete $link 2>/dev/null || true; done
rm -rf /etc/kubernetes /etc/cni /etc/containerd /opt/cni /var/lib/etcd/* /var/lib/kubelet/* /var/lib/containerd/* /var/lib/cni /run/flannel /root/manifests /root/kubeadm.yaml \
  /root/.kube /etc/sysctl.d/99-kubernetes.conf /etc/systemd/system/containerd.service /etc/systemd/system/kubelet.service /etc/systemd/system/kubelet.service.d
cd ` + binDir + `
rm -f kubeadm kubelet kubectl etcdctl etcdutl containerd containerd-shim-runc-v2 ctr runc
systemctl daemon-reload
`

// stagedDir is where new programs wait for their node's turn.
const stagedDir = "/root/new"

// newPrograms are those that come with a version of Kubernetes; the container runtime is the same in both bundles.
func newPrograms(b *bundle.Bundle, release *bundle.Release, controlPlane bool) []item {
	var items []item
	for _, f := range release.Files {
		if f.Kind == bundle.FileBinary && !ofRuntime(f.Name) && (controlPlane || !ofControlPlane(f.Name)) {
			items = append(items, program(b, f, stagedDir))
		}
	}
	return items
}

func upgradeConfig(over map[string]any) (string, error) {
	common := map[string]any{"imagePullPolicy": "Never", "ignorePreflightErrors": over["ignorePreflightErrors"]}
	apply := map[string]any{"kubernetesVersion": version, "forceUpgrade": true}
	for k, v := range common {
		apply[k] = v
	}
	text, err := yaml.Marshal(map[string]any{"apiVersion": kubeadmAPI, "kind": "UpgradeConfiguration", "apply": apply, "node": common})
	return string(text), err
}
