package plan

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/desired"
	"github.com/kubewright/kubewright/pkg/engine"
	hostapi "github.com/kubewright/kubewright/pkg/host/api"
	"github.com/kubewright/kubewright/pkg/steps/cni"
	"github.com/kubewright/kubewright/pkg/steps/containerd"
	"github.com/kubewright/kubewright/pkg/steps/content"
	"github.com/kubewright/kubewright/pkg/steps/datadir"
	"github.com/kubewright/kubewright/pkg/steps/dns"
	"github.com/kubewright/kubewright/pkg/steps/images"
	"github.com/kubewright/kubewright/pkg/steps/kernel"
	"github.com/kubewright/kubewright/pkg/steps/kubeadm"
	"github.com/kubewright/kubewright/pkg/steps/kubelet"
	"github.com/kubewright/kubewright/pkg/steps/layout"
	"github.com/kubewright/kubewright/pkg/steps/proxy"
	"github.com/kubewright/kubewright/pkg/steps/tools"
)

// Converge is the one graph that brings a cluster about and keeps it: it takes hosts from nothing to a verified cluster, brings versions
// and configuration onto those that have joined, takes further hosts in and others out, and finds nothing to do on a cluster that is
// as wanted. Preflight has passed on every host before it is asked for. The error is a *RefusedError when the change would break a rule
// that always holds.
func Converge(in Input) (*Graph, error) {
	b := &builder{in: in}
	b.in.Cluster = withResolvers(in)
	b.initial, b.live = initialHost(in)
	b.split()
	if err := b.refuse(); err != nil {
		return nil, err
	}
	for _, add := range []func() error{
		b.content, b.host, b.runtime, b.register, b.node, b.snapshot, b.forget, b.configuration, b.updateControlPlanes, b.controlPlane, b.withdraw,
		b.addons, b.updateWorkers, b.workers, b.otherImages, b.leave, b.cluster, b.unpin, b.record,
	} {
		if err := add(); err != nil {
			return nil, err
		}
	}
	b.dropVacuousNeeds()
	return &Graph{Steps: b.steps, Lanes: b.lanes()}, nil
}

// withResolvers is the cluster with what kubelets of its hosts have to be told of name servers.
func withResolvers(in Input) *desired.Cluster {
	c := *in.Cluster
	c.Hosts = slices.Clone(c.Hosts)
	first := in.Facts[c.ControlPlanes()[0].Name]
	for i, h := range c.Hosts {
		if facts := in.Facts[h.Name]; facts != nil && !dns.Overridden(&c, h) {
			c.Hosts[i].ResolvConf = dns.KubeletFile(facts, first)
		}
	}
	return &c
}

type builder struct {
	in      Input
	steps   []Step
	initial string
	live    bool
	// all are the hosts looked at, controlPlanes all of the spec.
	all, controlPlanes []string
	// closed hosts take no pods yet, which it is up to this project to change.
	closed []string
	// fresh hosts have not joined. joining and joiningWorkers are those of them that join; the initial one begins the cluster.
	fresh, joining, joiningWorkers []string
	// reinstalled are those joining control planes that etcd has a member of whose data they do not hold.
	reinstalled []string
	// stripped are those joining workers that had joined before and were reset since, by hand. unregistered have joined, and their node
	// was deleted.
	stripped, unregistered []string
	// updatedControlPlanes and updatedWorkers have joined and are kept as wanted.
	updatedControlPlanes, updatedWorkers []string
}

func (b *builder) inScope(host string) bool {
	return b.in.Scope == nil || slices.Contains(b.in.Scope, host)
}

func (b *builder) split() {
	for _, h := range b.in.Cluster.Hosts {
		if h.IsControlPlane() {
			b.controlPlanes = append(b.controlPlanes, h.Name)
		}
		if !b.inScope(h.Name) {
			continue
		}
		b.all = append(b.all, h.Name)
		joined := kubeadm.Joined(b.in.Facts[h.Name].Receipts)
		if joined && b.undone(h) {
			joined = false
			b.stripped = append(b.stripped, h.Name)
		}
		if !joined {
			b.fresh = append(b.fresh, h.Name)
		}
		if b.opensNodes() && !b.in.Facts[h.Name].Has(cni.ConfPath) {
			b.closed = append(b.closed, h.Name)
		}
		if node, there := b.in.State.Nodes[h.Name]; joined && b.in.State.NodesKnown && (!there || node.Blank) {
			b.unregistered = append(b.unregistered, h.Name)
		}
		switch {
		case joined && h.IsControlPlane():
			b.updatedControlPlanes = append(b.updatedControlPlanes, h.Name)
		case joined:
			b.updatedWorkers = append(b.updatedWorkers, h.Name)
		case !h.IsControlPlane():
			b.joiningWorkers = append(b.joiningWorkers, h.Name)
		case h.Name != b.initial:
			b.joining = append(b.joining, h.Name)
		}
	}
	b.byMembership(b.joining)
	b.byService(b.updatedWorkers)
	for _, name := range b.joining {
		if b.lostData(name) {
			b.reinstalled = append(b.reinstalled, name)
		}
	}
}

// undone says that a worker that had joined was reset by hand: with the authority's certificate, kubelet has nothing to trust. Of a control
// plane preflight judges what became of its data.
func (b *builder) undone(h desired.Host) bool {
	return !h.IsControlPlane() && !b.in.Facts[h.Name].Has(kubeadm.CACert)
}

// lostData tells that etcd has a member of a joining host whose data is not on the host: its machine was reinstalled or exchanged. A
// learner that never started is none: an attempt was cut off before it had data, and kubeadm continues with it. Nor is one whose
// join runs or is done.
func (b *builder) lostData(host string) bool {
	facts := b.in.Facts[host]
	if facts.Has(layout.EtcdMemberDir) || slices.Contains(facts.Runs, kubeadm.JoinEtcdCommand) || slices.Contains(facts.Receipts, kubeadm.JoinEtcdCommand) {
		return false
	}
	return slices.ContainsFunc(b.in.State.Members, func(m Member) bool { return m.Name == host && (!m.Unstarted || !m.Learner) })
}

// byMembership puts hosts first whose etcd member exists already, left by an attempt that was cut off: etcd takes no other in before
// that one is done.
func (b *builder) byMembership(hosts []string) {
	begun := func(name string) int {
		if slices.ContainsFunc(b.in.State.Members, func(m Member) bool { return m.Name == name }) {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(hosts, func(x, y string) int { return begun(x) - begun(y) })
}

// byService puts workers first that take no pods already, as one does in the middle of whose update an operation was cut off: with others
// before them, more than may be would take no pods at a time.
func (b *builder) byService(hosts []string) {
	serves := func(name string) int {
		if b.in.State.Nodes[name].Cordoned {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(hosts, func(x, y string) int { return serves(x) - serves(y) })
}

// running tells that there is a cluster already, with something to lose.
func (b *builder) running() bool { return len(b.updatedControlPlanes) > 0 || len(b.in.State.Nodes) > 0 }

// at is the control plane through which the cluster's API is used, and on which what is done once is done: one that has joined if
// there is one, and among those the one that did it before.
func (b *builder) at() string {
	if b.in.Via != "" {
		return b.in.Via
	}
	for _, name := range b.updatedControlPlanes {
		if slices.Contains(b.in.Facts[name].Receipts, kubeadm.KubeProxyCommand) {
			return name
		}
	}
	if len(b.updatedControlPlanes) > 0 {
		return b.updatedControlPlanes[0]
	}
	if b.initial != "" {
		return b.initial
	}
	return b.controlPlanes[0]
}

// lanes says how many hosts are worked on at a time. Control planes go one by one, whatever the policy.
func (b *builder) lanes() []engine.Lane {
	rollout := b.in.Cluster.Rollout
	return []engine.Lane{
		{ID: LaneStaticPods, Width: 1},
		{ID: LaneControlPlanes, Width: 1},
		{ID: LaneWorkers, Width: max(1, int(rollout.MaxUnavailable)), FailureBudget: int(rollout.FailureBudget)},
		{ID: LaneLeaving, Width: 1},
	}
}

// dropVacuousNeeds forgets needs of steps that this cluster does not have, such as joining where there is one host only.
func (b *builder) dropVacuousNeeds() {
	present := map[string]bool{}
	for _, s := range b.steps {
		present[s.ID] = true
	}
	for i := range b.steps {
		b.steps[i].Needs = slices.DeleteFunc(b.steps[i].Needs, func(n engine.Need) bool { return !present[n.Step] })
	}
}

// add appends a step whose resources are made host by host.
func (b *builder) add(s Step, make func(desired.Host) ([]hostapi.Resource, error)) error {
	if len(s.Hosts) == 0 {
		return nil
	}
	if make != nil {
		s.Resources = map[string][]hostapi.Resource{}
		for _, h := range b.in.Cluster.Hosts {
			if !slices.Contains(s.Hosts, h.Name) {
				continue
			}
			resources, err := make(h)
			if err != nil {
				return fmt.Errorf("step %s of host %s: %w", s.ID, h.Name, err)
			}
			s.Resources[h.Name] = resources
		}
	}
	b.steps = append(b.steps, s)
	return nil
}

// addSigned appends a step some of whose resources hold keys that are signed when it is carried out. Until then they have no content.
func (b *builder) addSigned(s Step, make func(desired.Host, Material) ([]hostapi.Resource, error)) error {
	s.Signed = []string{"file" + layout.KubeletClientPEM, "file" + layout.KubeletServingKey, "file" + layout.KubeletServingCert}
	s.Sign = func(host string, m Material) ([]hostapi.Resource, error) {
		i := slices.IndexFunc(b.in.Cluster.Hosts, func(h desired.Host) bool { return h.Name == host })
		if i < 0 {
			return nil, fmt.Errorf("step %s: host %s is not of the cluster", s.ID, host)
		}
		return make(b.in.Cluster.Hosts[i], m)
	}
	return b.add(s, func(h desired.Host) ([]hostapi.Resource, error) { return make(h, Material{}) })
}

func onAll(steps ...string) []engine.Need { return needs(engine.AllHosts, steps) }
func onSame(steps ...string) []engine.Need {
	return needs(engine.SameHost, steps)
}

func needs(scope engine.Scope, steps []string) []engine.Need {
	var list []engine.Need
	for _, s := range steps {
		list = append(list, engine.Need{Step: s, Scope: scope})
	}
	return list
}

func (b *builder) files(h desired.Host) []bundle.File {
	files := layout.Files(b.in.Cluster.Release, b.in.Facts[h.Name].Platform, h.IsControlPlane())
	if h.Kubelet == b.in.Cluster.Release {
		return files
	}
	// The pool lags behind: everything is the cluster's but kubelet itself.
	files = slices.DeleteFunc(files, func(f bundle.File) bool { return f.Name == "kubelet" })
	if h.Kubelet == nil {
		return files
	}
	for _, f := range layout.Files(h.Kubelet, b.in.Facts[h.Name].Platform, h.IsControlPlane()) {
		if f.Name == "kubelet" {
			files = append(files, f)
		}
	}
	return files
}

func (b *builder) images(h desired.Host) []layout.Image {
	return layout.Images(b.in.Cluster.Release, b.in.Facts[h.Name].Platform, h.IsControlPlane())
}

func (b *builder) content() error {
	return b.add(Step{ID: StepContent, Title: "Place and verify content", Hosts: b.all}, func(h desired.Host) ([]hostapi.Resource, error) {
		return content.Blobs(b.files(h), b.images(h)), nil
	})
}

// host prepares hosts. Where the container runtime does not run yet, it comes first: a host places one step's files at a time, and images
// are unpacked meanwhile.
func (b *builder) host() error {
	if err := b.add(Step{ID: StepTools, Title: "Place tools", Hosts: b.all, Needs: append(onAll(StepContent), onSame(StepContainerd)...)}, b.tools); err != nil {
		return err
	}
	if err := b.add(Step{ID: StepKernel, Title: "Set up the kernel", Hosts: b.all, Needs: onAll(StepContent)}, func(h desired.Host) ([]hostapi.Resource, error) {
		return kernel.Resources(b.in.Facts[h.Name]), nil
	}); err != nil {
		return err
	}
	return b.add(Step{ID: StepAuthorities, Title: "Place certificate authorities", Hosts: b.roleInScope(v1alpha1.ControlPlaneRole), Needs: onAll(StepContent)}, func(desired.Host) ([]hostapi.Resource, error) {
		return kubeadm.AuthorityResources(b.in.Cluster.Authorities), nil
	})
}

func (b *builder) roleInScope(role v1alpha1.HostRole) []string {
	var names []string
	for _, h := range b.in.Cluster.Hosts {
		if h.Role == role && b.inScope(h.Name) {
			names = append(names, h.Name)
		}
	}
	return names
}

func (b *builder) tools(h desired.Host) ([]hostapi.Resource, error) {
	resources := tools.Resources(b.files(h))
	facts := b.in.Facts[h.Name]
	if facts.DefaultRoute4 != "" {
		return resources, nil
	}
	for _, i := range facts.Interfaces {
		for _, a := range i.Addresses {
			if prefix, err := netip.ParsePrefix(a); err == nil && prefix.Addr().String() == h.Address {
				return append(resources, tools.ServiceRoute(b.in.Cluster.Network.ServiceCIDR, i.Name, h.Address)...), nil
			}
		}
	}
	return resources, nil
}

func (b *builder) runtime() error {
	if err := b.add(Step{ID: StepContainerd, Title: "Run the container runtime", Hosts: b.fresh, Needs: append(onAll(StepContent), onSame(StepKernel)...)}, b.containerd); err != nil {
		return err
	}
	return b.add(Step{ID: StepImages, Title: "Unpack images", Hosts: b.all, Needs: append(onAll(StepContent), onSame(StepContainerd)...)}, func(h desired.Host) ([]hostapi.Resource, error) {
		first, _ := b.unpacked(h)
		return images.Resources(first), nil
	})
}

// otherImages unpacks the images that a node does not begin with, while what it begins with starts.
func (b *builder) otherImages() error {
	return b.add(Step{ID: StepOtherImages, Title: "Unpack the other images", Hosts: b.closed, Needs: onSame(StepImages, StepInit, StepControlPlane, StepJoin)}, func(h desired.Host) ([]hostapi.Resource, error) {
		_, later := b.unpacked(h)
		return images.Resources(later), nil
	})
}

// unpacked divides a host's images into those it must have first and those that it must have when it opens to pods.
func (b *builder) unpacked(h desired.Host) (first, later []layout.Image) {
	for _, i := range b.images(h) {
		if slices.Contains(b.closed, h.Name) && !layout.NodeImage(i.Component) {
			later = append(later, i)
		} else {
			first = append(first, i)
		}
	}
	return first, later
}

// opensNodes tells that it is this project which decides when a node takes pods, by configuring their network.
func (b *builder) opensNodes() bool { return b.in.Cluster.Network.CNI.Type == v1alpha1.FlannelCNI }

func (b *builder) containerd(h desired.Host) ([]hostapi.Resource, error) {
	pause, err := b.image("pause")
	if err != nil {
		return nil, err
	}
	effective, err := kubeadm.EffectiveKubelet(b.in.Cluster, h)
	if err != nil {
		return nil, err
	}
	// Kubelet's driver is systemd unless overridden, and the runtime's must be the same.
	driver, given := effective["cgroupDriver"].(string)
	config, err := containerd.Config(pause, !given || driver == "systemd", h.Containerd)
	if err != nil {
		return nil, err
	}
	return append(datadir.Resources(h), containerd.Resources(b.files(h), config)...), nil
}

func (b *builder) image(component string) (string, error) {
	for _, i := range b.in.Cluster.Release.Images {
		if i.Component == component {
			return i.Name, nil
		}
	}
	return "", fmt.Errorf("the bundle's release %s holds no %s image; rebuild it", b.in.Cluster.Version, component)
}

// register brings back nodes that somebody deleted, before anything is done that looks at them.
func (b *builder) register() error {
	if len(b.unregistered) == 0 {
		return nil
	}
	action := Register{Labels: map[string]map[string]string{}, Taints: map[string][]corev1.Taint{}}
	for _, h := range b.in.Cluster.Hosts {
		if !slices.Contains(b.unregistered, h.Name) {
			continue
		}
		labels := h.Labels
		if h.IsControlPlane() {
			labels = kubeadm.ControlPlaneLabels()
		}
		action.Labels[h.Name], action.Taints[h.Name] = labels, h.Taints
	}
	b.steps = append(b.steps, Step{ID: StepRegister, Title: "Register nodes that were deleted", Hosts: b.unregistered, Needs: onAll(StepContent), Action: action})
	return nil
}

func (b *builder) node() error {
	if err := b.addSigned(Step{ID: StepKubelet, Title: "Place kubelet and its plugins", Hosts: b.fresh, Needs: append(onAll(StepContent), onSame(StepContainerd)...)}, func(h desired.Host, m Material) ([]hostapi.Resource, error) {
		resources, err := b.kubelet(h, m)
		return append(resources, kubelet.Prepared()), err
	}); err != nil {
		return err
	}
	proxied := b.all
	if b.in.Cluster.Endpoint.Type != v1alpha1.LocalProxyEndpoint {
		proxied = b.roleInScope(v1alpha1.ControlPlaneRole)
	}
	return b.add(Step{ID: StepProxy, Title: "Run the local proxy", Hosts: proxied, Needs: append(onAll(StepContent), onSame(StepTools)...)}, func(h desired.Host) ([]hostapi.Resource, error) {
		return proxy.Resources(b.files(h), proxy.Config(b.in.Cluster.Endpoint, b.in.Cluster.ControlPlanes(), h.Name)), nil
	})
}

// kubelet lists everything kubelet consists of on a host but its running unit.
func (b *builder) kubelet(h desired.Host, m Material) ([]hostapi.Resource, error) {
	resources := kubelet.Resources(b.files(h), m.Serving)
	identity, err := kubeadm.KubeletIdentity(b.in.Cluster, m.Client)
	return append(resources, identity...), err
}

// kubeletRuns is kubelet's running unit, started with what it consists of now.
func (b *builder) kubeletRuns(h desired.Host) (hostapi.Resource, error) {
	key, err := kubeadm.KubeletKey(b.in.Cluster, h)
	return kubelet.Running(b.files(h), key), err
}

// ready lists what a host must have before kubeadm runs on it.
func ready() []engine.Need {
	return onSame(StepTools, StepKernel, StepAuthorities, StepImages, StepKubelet, StepProxy)
}

func (b *builder) controlPlane() error {
	c := b.in.Cluster
	if b.initial != "" && !b.live {
		if err := b.add(Step{ID: StepInit, Title: "Initialise the first control plane", Hosts: []string{b.initial}, Needs: ready(), Guard: GuardNotInitialised},
			one(func(h desired.Host) (hostapi.Resource, error) { return kubeadm.InitResource(c, h) })); err != nil {
			return err
		}
	}
	if err := b.add(Step{ID: StepPrepare, Title: "Prepare further control planes", Hosts: b.joining, Needs: b.comingAndGoing(b.afterInit())},
		one(func(h desired.Host) (hostapi.Resource, error) {
			return kubeadm.JoinPrepare(c, h)
		})); err != nil {
		return err
	}
	if err := b.add(Step{ID: StepEtcd, Title: "Add etcd members one by one", Hosts: b.joining, Needs: onSame(StepPrepare), Exclusive: membershipGroup, Guard: GuardEtcdCanGrow},
		one(func(h desired.Host) (hostapi.Resource, error) {
			return kubeadm.JoinEtcd(c, h)
		})); err != nil {
		return err
	}
	return b.add(Step{ID: StepControlPlane, Title: "Start further control planes", Hosts: b.joining, Needs: onSame(StepEtcd)},
		one(func(h desired.Host) (hostapi.Resource, error) {
			return kubeadm.JoinFinish(c, h)
		}))
}

// bootstrapRights are what kubeadm init gives to whoever presents a bootstrap token: to ask for an identity of a kubelet, of any name, and
// to be given it without anybody looking (k8s.io/kubernetes, cmd/kubeadm/app/phases/bootstraptoken/node/tlsbootstrap.go). Hosts are given
// their own identity instead. The binding that lets kubelets renew their certificates stays.
var bootstrapRights = []string{"kubeadm:kubelet-bootstrap", "kubeadm:node-autoapprove-bootstrap"}

// withdraw takes those rights back where kubeadm has just given them, or a host comes that could have used them. A cluster at rest is left
// as it is: no such token exists there.
func (b *builder) withdraw() error {
	steps := []string{StepInit, StepPrepare, StepJoin, StepCPUpdate}
	b.steps = append(b.steps, Step{ID: StepWithdraw, Title: "Withdraw the rights of bootstrap tokens", Hosts: []string{b.at()}, Needs: append(b.initialised(), onAll(StepCPUpdate)...),
		When: &When{Steps: steps}, Action: Withdraw{ClusterRoleBindings: bootstrapRights}})
	return nil
}

func (b *builder) afterInit() []engine.Need {
	// Nobody joins a control plane that is being brought to another version: a kubelet must not be newer than the API servers.
	list := append(ready(), onAll(StepCPReturn, StepForget)...)
	if b.initial != "" {
		list = append(list, engine.Need{Step: StepInit, Scope: engine.AnyHost})
	}
	return list
}

func one(make func(desired.Host) (hostapi.Resource, error)) func(desired.Host) ([]hostapi.Resource, error) {
	return func(h desired.Host) ([]hostapi.Resource, error) {
		resource, err := make(h)
		if err != nil {
			return nil, err
		}
		return []hostapi.Resource{resource}, nil
	}
}

func (b *builder) workers() error {
	need := b.afterInit()
	if len(b.stripped) > 0 {
		b.steps = append(b.steps, Step{ID: StepStopped, Title: "See kubelets gone that were reset by hand", Hosts: b.stripped, Needs: need, Action: AwaitStopped{}})
		need = append(need, onSame(StepStopped)...)
	}
	return b.add(Step{ID: StepJoin, Title: "Join workers", Hosts: b.joiningWorkers, Needs: need},
		one(func(h desired.Host) (hostapi.Resource, error) {
			return kubeadm.JoinWorker(b.in.Cluster, h)
		}))
}
