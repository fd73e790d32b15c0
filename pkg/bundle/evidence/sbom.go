package evidence

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"

	"github.com/kubewright/kubewright/pkg/bundle"
)

// What documents say of their author, and what SPDX wants where nothing is said.
const (
	creator     = "kubewright"
	noAssertion = "NOASSERTION"
	bundleID    = common.ElementID("Bundle")
	documentID  = common.ElementID("DOCUMENT")
)

// Program is a Go program in a bundle, as a file or in an image.
type Program struct {
	// Name is its file name, Version its component's version, Platform what it runs on.
	Name, Version, Platform string
	// Digest is the sha256 of its content.
	Digest digest.Digest
	// Info is what the compiler wrote into it.
	Info *debug.BuildInfo
}

// SBOM is the bill of materials of the bundle that cfg describes and root is the digest of: its programs, the Go modules each was made
// of with the sums the Go checksum database knows them by, the toolchain, and the Debian packages, published files and images of others in
// its releases.
func SBOM(cfg *bundle.Config, root digest.Digest, programs []Program) ([]byte, error) {
	d := newDocument(cfg, root)
	for _, p := range programs {
		d.program(p)
	}
	for _, r := range cfg.Releases {
		for _, c := range r.Components {
			switch c.Type {
			case "Debian":
				d.contains(d.debian(c, r.Platforms))
			case "Release":
				d.contains(d.published(c, c.Source, releaseURL(c), "FILE"))
			case "Image":
				d.contains(d.published(c, noAssertion, imageURL(c), "CONTAINER"))
			}
		}
	}
	return d.encode()
}

// MergeSBOM is the bill of materials of a bundle that was merged from those the documents are about.
func MergeSBOM(cfg *bundle.Config, root digest.Digest, documents [][]byte) ([]byte, error) {
	d := newDocument(cfg, root)
	for _, raw := range documents {
		from := &v2_3.Document{}
		if err := spdxjson.ReadInto(bytes.NewReader(raw), from); err != nil {
			return nil, fmt.Errorf("read a bill of materials: %w", err)
		}
		for _, p := range from.Packages {
			if p.PackageSPDXIdentifier != bundleID {
				d.packages[p.PackageSPDXIdentifier] = p
			}
		}
		for _, r := range from.Relationships {
			d.relations[relation{r.RefA.ElementRefID, r.Relationship, r.RefB.ElementRefID}] = true
		}
	}
	return d.encode()
}

// document collects packages and relations, each once.
type document struct {
	cfg       *bundle.Config
	root      digest.Digest
	packages  map[common.ElementID]*v2_3.Package
	relations map[relation]bool
}

type relation struct {
	from common.ElementID
	kind string
	to   common.ElementID
}

func newDocument(cfg *bundle.Config, root digest.Digest) *document {
	d := &document{cfg: cfg, root: root, packages: map[common.ElementID]*v2_3.Package{}, relations: map[relation]bool{}}
	versions := make([]string, len(cfg.Releases))
	for i := range cfg.Releases {
		versions[i] = cfg.Releases[i].KubernetesVersion
	}
	d.packages[bundleID] = &v2_3.Package{
		PackageName: cfg.Name, PackageSPDXIdentifier: bundleID, PackageVersion: strings.Join(versions, "+"), PackageDownloadLocation: noAssertion,
		PackageChecksums: sha256Sum(root.Encoded()), PackageComment: "The checksum is the bundle's digest: that of its root manifest.",
		PrimaryPackagePurpose: "ARCHIVE",
	}
	d.relations[relation{documentID, common.TypeRelationshipDescribe, bundleID}] = true
	return d
}

func (d *document) contains(id common.ElementID) {
	d.relations[relation{bundleID, common.TypeRelationshipContains, id}] = true
}

// program adds a program, its modules and its toolchain.
func (d *document) program(p Program) {
	id := common.ElementID("Program-" + p.Digest.Encoded()[:24])
	d.packages[id] = &v2_3.Package{
		PackageName: p.Name, PackageSPDXIdentifier: id, PackageVersion: p.Version, PackageDownloadLocation: noAssertion,
		PackageChecksums: sha256Sum(p.Digest.Encoded()), PackageComment: "for " + p.Platform, PrimaryPackagePurpose: "APPLICATION",
	}
	d.contains(id)
	modules := append([]*debug.Module{{Path: "stdlib", Version: strings.TrimPrefix(p.Info.GoVersion, "go")}, &p.Info.Main}, p.Info.Deps...)
	for _, m := range modules {
		if m.Path == "" {
			continue
		}
		d.relations[relation{id, common.TypeRelationshipDependsOn, d.module(m)}] = true
	}
}

// module adds a Go module, or what it was replaced by.
func (d *document) module(m *debug.Module) common.ElementID {
	comment := ""
	if m.Replace != nil {
		comment = "in the place of " + m.Path + " " + m.Version
		if m.Replace.Version == "" {
			// A directory beside the definition: its path means nothing elsewhere.
			m = &debug.Module{Path: m.Path, Version: "local"}
			comment = "replaced by a directory of the source tree: " + m.Path
		} else {
			m = m.Replace
		}
	}
	p := &v2_3.Package{
		PackageName: m.Path, PackageVersion: m.Version, PackageDownloadLocation: noAssertion, PackageComment: comment, PrimaryPackagePurpose: "LIBRARY",
		PackageExternalReferences: purl("golang/"+m.Path, m.Version, ""),
	}
	if sum, err := dirHash(m.Sum); err == nil {
		p.PackageChecksums = sha256Sum(sum)
		p.PackageSourceInfo = "go.sum " + m.Sum
	}
	p.PackageSPDXIdentifier = elementID("Module", m.Path, m.Version, m.Sum, comment)
	d.packages[p.PackageSPDXIdentifier] = p
	return p.PackageSPDXIdentifier
}

// debian adds a Debian package.
func (d *document) debian(c bundle.Component, platforms []string) common.ElementID {
	p := &v2_3.Package{
		PackageName: c.Name, PackageVersion: c.Version, PackageDownloadLocation: noAssertion, PrimaryPackagePurpose: "LIBRARY",
		PackageChecksums:          sha256Sum(strings.TrimPrefix(c.Checksum, "sha256:")),
		PackageExternalReferences: purl("deb/debian/"+c.Name, c.Version, "arch="+architecture(c, platforms)),
	}
	p.PackageSPDXIdentifier = elementID("Debian", c.Name, c.Version, c.Checksum)
	d.packages[p.PackageSPDXIdentifier] = p
	return p.PackageSPDXIdentifier
}

// published adds a file or an image that others publish.
func (d *document) published(c bundle.Component, location, packageURL, purpose string) common.ElementID {
	p := &v2_3.Package{
		PackageName: c.Name, PackageVersion: c.Version, PackageDownloadLocation: location, PrimaryPackagePurpose: purpose,
		PackageChecksums: sha256Sum(strings.TrimPrefix(c.Checksum, "sha256:")), PackageComment: c.Source,
		PackageExternalReferences: []*v2_3.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: packageURL,
		}},
	}
	p.PackageSPDXIdentifier = elementID(c.Type, c.Name, c.Version, c.Source, c.Checksum)
	d.packages[p.PackageSPDXIdentifier] = p
	return p.PackageSPDXIdentifier
}

// encode writes the document in one order.
func (d *document) encode() ([]byte, error) {
	doc := &v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: documentID, DocumentName: d.cfg.Name,
		DocumentNamespace: "https://kubewright.io/spdx/" + d.root.Encoded(),
		CreationInfo:      &v2_3.CreationInfo{Creators: []common.Creator{{CreatorType: "Tool", Creator: creator}}, Created: d.cfg.Created.UTC().Format(time.RFC3339)},
	}
	for _, p := range d.packages {
		doc.Packages = append(doc.Packages, p)
	}
	slices.SortFunc(doc.Packages, func(a, b *v2_3.Package) int {
		return cmp.Or(cmp.Compare(a.PackageName, b.PackageName), cmp.Compare(a.PackageVersion, b.PackageVersion),
			cmp.Compare(a.PackageSPDXIdentifier, b.PackageSPDXIdentifier))
	})
	for r := range d.relations {
		doc.Relationships = append(doc.Relationships, &v2_3.Relationship{
			RefA: common.DocElementID{ElementRefID: r.from}, Relationship: r.kind, RefB: common.DocElementID{ElementRefID: r.to},
		})
	}
	slices.SortFunc(doc.Relationships, func(a, b *v2_3.Relationship) int {
		return cmp.Or(cmp.Compare(a.RefA.ElementRefID, b.RefA.ElementRefID), cmp.Compare(a.Relationship, b.Relationship),
			cmp.Compare(a.RefB.ElementRefID, b.RefB.ElementRefID))
	})
	var out bytes.Buffer
	if err := spdxjson.Write(doc, &out); err != nil {
		return nil, fmt.Errorf("encode the bill of materials: %w", err)
	}
	return out.Bytes(), nil
}

// elementID is an identifier that equal things have in every document.
func elementID(kind string, parts ...string) common.ElementID {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return common.ElementID(kind + "-" + hex.EncodeToString(sum[:12]))
}

func sha256Sum(hexSum string) []common.Checksum {
	return []common.Checksum{{Algorithm: common.SHA256, Value: hexSum}}
}

// purl refers to a package by its package URL.
func purl(name, version, qualifiers string) []*v2_3.PackageExternalReference {
	return []*v2_3.PackageExternalReference{{
		Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: packageURL(name, version, qualifiers),
	}}
}
