package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubewright/kubewright/controllers/offlinemanifest"
	"github.com/kubewright/kubewright/pkg/fetch"
)

// fetchProgram is the name of the program that fetches, beside this one.
const fetchProgram = "kubewright-fetch"

// storeOptions are the flags about bundles that are fetched.
type storeOptions struct {
	dir, program, namespace  string
	maxSize, keepFree        string
	allowHTTP, allowLoopback bool
}

func (o *storeOptions) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.dir, "store-dir", "", "absolute directory to copy bundles of https://, s3:// and oci:// sources into (default: none, only files are used)")
	flags.StringVar(&o.program, "fetch-program", "", "the program that fetches (default: "+fetchProgram+" beside this one)")
	flags.StringVar(&o.namespace, "namespace", "", "namespace of the Secrets and ConfigMaps that OfflineManifests name (default: the namespace this runs in)")
	flags.StringVar(&o.maxSize, "max-bundle-size", "64Gi", "how large a fetched bundle may be")
	flags.StringVar(&o.keepFree, "store-keep-free", "1Gi", "how much of the store's file system has to stay free")
	flags.BoolVar(&o.allowHTTP, "allow-http-sources", false, "fetch bundles also without TLS; their digests are checked as ever, credentials are not sent")
	flags.BoolVar(&o.allowLoopback, "allow-loopback-sources", false, "fetch bundles also from this very machine")
}

// sources are the settings that the flags stand for.
func (o *storeOptions) sources() (offlinemanifest.Sources, error) {
	s := offlinemanifest.Sources{Namespace: o.namespace, AllowHTTP: o.allowHTTP, AllowLoopback: o.allowLoopback}
	if s.Namespace == "" {
		s.Namespace, _ = podNamespace() // without one, OfflineManifests that need it say so
	}
	if o.dir == "" {
		return s, nil // keys of signers are read for files too
	}
	if !filepath.IsAbs(o.dir) {
		return s, badInput(fmt.Errorf("--store-dir %q is not an absolute path", o.dir), "")
	}
	s.StoreDir = filepath.Clean(o.dir)
	for _, size := range []struct {
		flag, text string
		into       *int64
	}{{"--max-bundle-size", o.maxSize, &s.MaxBytes}, {"--store-keep-free", o.keepFree, &s.KeepFreeBytes}} {
		quantity, err := resource.ParseQuantity(size.text)
		if err != nil || quantity.Sign() < 0 {
			return s, badInput(fmt.Errorf("%s %q is not a size", size.flag, size.text), "write for example 64Gi")
		}
		*size.into = quantity.Value()
	}
	program, err := o.findProgram()
	if err != nil {
		return s, badInput(err, "install it there, or say where it is with --fetch-program")
	}
	s.Fetcher = &fetch.Program{Path: program}
	return s, nil
}

// findProgram finds the program that fetches before anything needs it.
func (o *storeOptions) findProgram() (string, error) {
	path := o.program
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("find this program: %w", err)
		}
		path = filepath.Join(filepath.Dir(self), fetchProgram)
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("--fetch-program %q is not an absolute path", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("find the program that fetches bundles: %w", err)
	}
	if !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return "", errors.New("find the program that fetches bundles: " + path + " is not an executable file")
	}
	return path, nil
}
