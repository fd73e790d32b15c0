package builder

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// ImageMismatchError says that the definition's images are not those its kubeadm will ask for.
type ImageMismatchError struct {
	// KubernetesVersion is the release, Missing the references kubeadm wants and the definition lacks.
	KubernetesVersion string
	Missing           []string
}

func (e *ImageMismatchError) Error() string {
	return fmt.Sprintf("kubeadm %s needs images the definition does not have: %s; correct names, tags and component versions under images",
		e.KubernetesVersion, strings.Join(e.Missing, ", "))
}

// checkKubeadmImages runs the kubeadm that was built or taken and compares what it wants with what the definition has.
func (t *target) checkKubeadmImages(ctx context.Context) error {
	kubeadm, err := t.executable("kubeadm")
	if err != nil {
		return fmt.Errorf("kubeadm, to see which images it wants: %w", err)
	}
	if kubeadm == "" {
		return fmt.Errorf("the definition has no program named kubeadm, so the images cannot be checked")
	}
	cmd := exec.CommandContext(ctx, kubeadm, "config", "images", "list", "--kubernetes-version", t.def.KubernetesVersion)
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
