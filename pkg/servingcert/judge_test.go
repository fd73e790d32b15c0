package servingcert_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubewright/kubewright/pkg/servingcert"
)

var nodes = servingcert.Nodes{
	"w1": {DNS: []string{"w1"}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.11")}},
	"w2": {DNS: []string{"w2"}, IPs: []netip.Addr{netip.MustParseAddr("192.0.2.12")}},
}

// asked is a request of the node w1 as its kubelet makes it, in its parts.
type asked struct {
	template x509.CertificateRequest
	object   certificatesv1.CertificateSigningRequest
}

func request(t testing.TB, change func(*asked)) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	a := asked{
		template: x509.CertificateRequest{
			Subject:  pkix.Name{CommonName: "system:node:w1", Organization: []string{"system:nodes"}},
			DNSNames: []string{"w1"}, IPAddresses: []net.IP{net.ParseIP("192.0.2.11")},
		},
		object: certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: "kubernetes.io/kubelet-serving",
			Username:   "system:node:w1",
			Groups:     []string{"system:nodes", "system:authenticated"},
			Usages:     []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
		}},
	}
	if change != nil {
		change(&a)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &a.template, key)
	if err != nil {
		t.Fatal(err)
	}
	if a.object.Spec.Request == nil {
		a.object.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	}
	return &a.object
}

func TestANodeIsGivenACertificateForItsOwnNamesOnly(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*asked)
		// says is part of why it is denied; empty for one that is approved.
		says string
	}{
		"as kubelet asks": {},
		"with key encipherment, for RSA": {change: func(a *asked) {
			a.object.Spec.Usages = append(a.object.Spec.Usages, certificatesv1.UsageKeyEncipherment)
		}},
		"for its address alone": {change: func(a *asked) { a.template.DNSNames = nil }},
		"for its name alone":    {change: func(a *asked) { a.template.IPAddresses = nil }},
		"in the IPv6 form of its address": {change: func(a *asked) {
			a.template.IPAddresses = []net.IP{net.ParseIP("::ffff:192.0.2.11")}
		}},
		"for no name":                {change: func(a *asked) { a.template.DNSNames, a.template.IPAddresses = nil, nil }, says: "no name at all"},
		"for another node's name":    {change: func(a *asked) { a.template.DNSNames = []string{"w1", "w2"} }, says: `the name "w2"`},
		"for another node's address": {change: func(a *asked) { a.template.IPAddresses = append(a.template.IPAddresses, net.ParseIP("192.0.2.12")) }, says: "the address 192.0.2.12"},
		"for the API's name":         {change: func(a *asked) { a.template.DNSNames = []string{"kubernetes.default.svc"} }, says: `the name "kubernetes.default.svc"`},
		"for any name":               {change: func(a *asked) { a.template.DNSNames = []string{"*"} }, says: `the name "*"`},
		"for loopback":               {change: func(a *asked) { a.template.IPAddresses = []net.IP{net.IPv6loopback} }, says: "the address ::1"},
		"for a mail address":         {change: func(a *asked) { a.template.EmailAddresses = []string{"a@b"} }, says: "neither DNS names nor IP addresses"},
		"for a URI":                  {change: func(a *asked) { a.template.URIs = []*url.URL{{Scheme: "spiffe", Host: "w1"}} }, says: "neither DNS names nor IP addresses"},
		"as another node": {change: func(a *asked) { a.template.Subject.CommonName = "system:node:w2" },
			says: "its subject is not system:node:w1"},
		"as an administrator": {change: func(a *asked) { a.template.Subject.Organization = []string{"system:masters"} }, says: "its subject is not"},
		"as an administrator too": {change: func(a *asked) { a.template.Subject.Organization = []string{"system:nodes", "system:masters"} },
			says: "its subject is not"},
		"with more in its subject": {change: func(a *asked) { a.template.Subject.OrganizationalUnit = []string{"x"} }, says: "its subject is not"},
		"with a second common name": {change: func(a *asked) {
			a.template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "system:node:w2"}}
		}, says: "its subject is not"},
		"by somebody who is not a node": {change: func(a *asked) { a.object.Spec.Groups = []string{"system:authenticated"} }, says: "not in the group system:nodes"},
		"to be a client": {change: func(a *asked) { a.object.Spec.Usages = append(a.object.Spec.Usages, certificatesv1.UsageClientAuth) },
			says: `the usage "client auth"`},
		"to be an authority": {change: func(a *asked) { a.object.Spec.Usages = append(a.object.Spec.Usages, certificatesv1.UsageCertSign) },
			says: `the usage "cert sign"`},
		"to sign only":      {change: func(a *asked) { a.object.Spec.Usages = a.object.Spec.Usages[:1] }, says: `does not ask for the usage "server auth"`},
		"without a request": {change: func(a *asked) { a.object.Spec.Request = []byte("x") }, says: "no certificate request"},
		"with a certificate in place of the request": {change: func(a *asked) {
			a.object.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{1}})
		}, says: "no certificate request"},
	} {
		t.Run(name, func(t *testing.T) {
			why := nodes.Judge(request(t, test.change))
			if test.says == "" && why != nil || test.says != "" && (why == nil || !strings.Contains(why.Error(), test.says)) {
				t.Errorf("denied because %v, want %q", why, test.says)
			}
		})
	}
}

func TestARequestThatSomebodyElseSignedIsDenied(t *testing.T) {
	r := request(t, nil)
	block, _ := pem.Decode(r.Spec.Request)
	block.Bytes[len(block.Bytes)-1] ^= 1
	r.Spec.Request = pem.EncodeToMemory(block)
	if why := nodes.Judge(r); why == nil || !strings.Contains(why.Error(), "own key") {
		t.Errorf("denied because %v", why)
	}
	two := request(t, nil)
	two.Spec.Request = slices.Concat(two.Spec.Request, request(t, func(a *asked) { a.template.DNSNames = []string{"x"} }).Spec.Request)
	if why := nodes.Judge(two); why == nil || !strings.Contains(why.Error(), "more than one") {
		t.Errorf("two requests in one: denied because %v", why)
	}
}

func TestRequestsOfOthersAreLeftToOthers(t *testing.T) {
	for name, change := range map[string]func(*asked){
		"a kubelet's client certificate":   func(a *asked) { a.object.Spec.SignerName = "kubernetes.io/kube-apiserver-client-kubelet" },
		"a signer of somebody's own":       func(a *asked) { a.object.Spec.SignerName = "example.com/kubelet-serving" },
		"a node that is not one of ours":   func(a *asked) { a.object.Spec.Username = "system:node:other" },
		"a user named like a node of ours": func(a *asked) { a.object.Spec.Username = "w1" },
		"nobody":                           func(a *asked) { a.object.Spec.Username = "system:node:" },
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, change)
			if node, ok := nodes.Requester(r); ok {
				t.Errorf("it counts as a request of node %q", node)
			}
			if nodes.Judge(r) == nil {
				t.Error("it would be approved")
			}
			newest := servingcert.Newest{}
			if newest.Add(nodes, r); len(newest) > 0 {
				t.Error("it is kept")
			}
		})
	}
}

func TestOnlyTheNewestRequestOfANodeCounts(t *testing.T) {
	at := func(second int64, name string, conditions ...certificatesv1.RequestConditionType) *certificatesv1.CertificateSigningRequest {
		r := request(t, nil)
		r.Name, r.CreationTimestamp = name, metav1.Unix(second, 0)
		for _, c := range conditions {
			r.Status.Conditions = append(r.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: c})
		}
		return r
	}
	newest := servingcert.Newest{}
	for _, r := range []*certificatesv1.CertificateSigningRequest{at(10, "first"), at(30, "third", certificatesv1.CertificateApproved), at(20, "second")} {
		newest.Add(nodes, r)
	}
	if got := newest["w1"]; got.Name != "third" || got.Pending {
		t.Errorf("the newest is %+v", got)
	}
	newest.Add(nodes, at(30, "again"))
	newest.Add(nodes, at(30, "late", certificatesv1.CertificateDenied))
	if got := newest["w1"]; got.Name != "again" || !got.Pending {
		t.Errorf("of those of one second %+v counts, want the one that waits", got)
	}
	newest.Add(nodes, at(40, "issued"))
	issued := at(50, "issued")
	issued.Status.Certificate = []byte("x")
	newest.Add(nodes, issued)
	newest.Add(nodes, at(60, strings.Repeat("x", 254)))
	if got := newest["w1"]; got.Name != "issued" || got.Pending {
		t.Errorf("a request with a certificate counts as %+v", got)
	}
}

func TestADecisionIsSaidInTheRequest(t *testing.T) {
	for want, change := range map[string]func(*asked){
		"Approved: all that it asks for belongs to the node":         nil,
		`Denied: it asks for the name "w2", which is not the node's`: func(a *asked) { a.template.DNSNames = []string{"w2"} },
	} {
		r := request(t, change)
		r.Name, r.UID, r.ResourceVersion = "csr-1", "uid-1", "7"
		newest := servingcert.Newest{}
		newest.Add(nodes, r)
		settled := newest["w1"].Settle()
		if settled.Name != r.Name || settled.UID != r.UID || settled.ResourceVersion != r.ResourceVersion {
			t.Errorf("the decision is about %+v", settled.ObjectMeta)
		}
		if c := settled.Status.Conditions; len(c) != 1 || string(c[0].Type)+": "+c[0].Message != want || c[0].Status != "True" {
			t.Errorf("got %+v, want %q", c, want)
		}
	}
}

// FuzzJudge wants that whatever a node writes into its request, an approved one names nobody else.
func FuzzJudge(f *testing.F) {
	f.Add("system:node:w1", "system:nodes", "server auth", request(f, nil).Spec.Request)
	f.Add("system:node:w1", "system:nodes", "server auth", request(f, func(a *asked) { a.template.DNSNames = []string{"w2"} }).Spec.Request)
	f.Add("system:node:w2", "system:masters", "client auth", request(f, func(a *asked) { a.template.Subject.Organization = []string{"system:masters"} }).Spec.Request)
	f.Fuzz(func(t *testing.T, user, group, usage string, text []byte) {
		r := &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
			SignerName: servingcert.Signer, Username: user, Groups: []string{group}, Request: text,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.KeyUsage(usage)},
		}}
		if nodes.Judge(r) != nil {
			return
		}
		block, _ := pem.Decode(text)
		request, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil {
			t.Fatalf("approved, and it cannot be read: %v", err)
		}
		own := nodes[strings.TrimPrefix(user, "system:node:")]
		if group != "system:nodes" || usage != "server auth" || request.Subject.CommonName != user || !slices.Equal(request.Subject.Organization, []string{"system:nodes"}) {
			t.Fatalf("approved: %q in %q for %q, subject %s", user, group, usage, request.Subject)
		}
		for _, name := range request.DNSNames {
			if !slices.Contains(own.DNS, name) {
				t.Fatalf("approved the name %q", name)
			}
		}
		for _, ip := range request.IPAddresses {
			if !slices.ContainsFunc(own.IPs, func(a netip.Addr) bool { return net.IP(a.AsSlice()).Equal(ip) }) {
				t.Fatalf("approved the address %s", ip)
			}
		}
	})
}
