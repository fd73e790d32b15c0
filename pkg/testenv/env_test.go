package testenv_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubewright/kubewright/api/v1alpha1"
	"github.com/kubewright/kubewright/pkg/testenv"
)

func TestAnEnvServesTheKindsOfTheProject(t *testing.T) {
	env := testenv.New(t)
	var hosts v1alpha1.HostList
	if err := env.Client.List(t.Context(), &hosts); err != nil {
		t.Fatalf("list Hosts: %v", err)
	}
	if len(hosts.Items) != 0 {
		t.Errorf("a new API server has %d Hosts, want none", len(hosts.Items))
	}
	if !strings.Contains(string(env.Kubeconfig()), "127.0.0.1") {
		t.Errorf("the kubeconfig does not point at loopback")
	}
}

func TestMissingProgramsAreAnErrorThatSaysWhatToDo(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for name, set := range map[string]map[string]string{
		"the directory named does not hold them": {testenv.AssetsVariable: nowhere, testenv.BundleVariable: ""},
		"the bundle named does not exist":        {testenv.AssetsVariable: "", testenv.BundleVariable: nowhere},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range set {
				t.Setenv(k, v)
			}
			_, err := testenv.Start(t.Context())
			if !errors.Is(err, testenv.ErrNoAssets) {
				t.Fatalf("got %v, want ErrNoAssets", err)
			}
			for _, want := range []string{nowhere, "make bundle"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the message does not name %q: %v", want, err)
				}
			}
		})
	}
}
