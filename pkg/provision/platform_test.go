package provision

import "testing"

func TestMachinesAreTranslatedIntoPlatforms(t *testing.T) {
	for machine, want := range map[string]string{
		"x86_64": "linux/amd64", "aarch64": "linux/arm64", "riscv64": "linux/riscv64", "loongarch64": "linux/loong64",
		"": "", "Welcome! x86_64": "", "pdp11": "",
	} {
		if got := platformOf(machine); got != want {
			t.Errorf("%q is taken for %q, want %q", machine, got, want)
		}
	}
}
