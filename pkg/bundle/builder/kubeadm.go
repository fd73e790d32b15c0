package builder

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// ImageMismatchError says that the definition's images are not those the kubeadm it builds will ask for.
type ImageMismatchError struct {
	// KubernetesVersion is the release, Missing the references kubeadm wants and the definition lacks.
	KubernetesVersion string
	Missing           []string
}

func (e *ImageMismatchError) Error() string {
	return fmt.Sprintf("kubeadm %s needs images the definition does not make: %s; correct names, tags and component versions under images",
		e.KubernetesVersion, strings.Join(e.Missing, ", "))
}

// checkKubeadmImages runs the kubeadm that was built and compares what it wants with what the definition makes.
func (t *target) checkKubeadmImages(ctx context.Context) error {
	kubeadm, ok := t.programs["kubeadm"]
	if !ok {
		return fmt.Errorf("the definition makes no program named kubeadm, so the images cannot be checked")
	}
	cmd := exec.CommandContext(ctx, kubeadm.path, "config", "images", "list", "--kubernetes-version", t.def.KubernetesVersion)
	cmd.Env = []string{"HOME=" + t.scratch, "PATH=" + os.Getenv("PATH")}
	out, err := run(cmd)
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, img := range t.def.Images {
		have[img.Name] = true
	}
	var missing []string
	for name := range strings.FieldsSeq(string(out)) {
		if !have[name] {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return &ImageMismatchError{KubernetesVersion: t.def.KubernetesVersion, Missing: missing}
	}
	return nil
}
