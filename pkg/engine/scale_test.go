package engine

import (
	"fmt"
	"testing"
)

// BenchmarkRun tells what the engine itself costs per (step, host), with steps that have nothing to do.
func BenchmarkRun(b *testing.B) {
	for _, hosts := range []int{4, 1000} {
		b.Run(fmt.Sprintf("40 steps, %d hosts", hosts), func(b *testing.B) {
			names := make([]string, hosts)
			for i := range names {
				names[i] = fmt.Sprintf("host-%04d", i)
			}
			var g Graph
			for i := range 40 {
				s := Step{ID: fmt.Sprintf("step-%02d", i), Hosts: names, Check: check}
				if i > 0 {
					s.Needs = []Need{{fmt.Sprintf("step-%02d", i-1), Scope(i % 2)}}
				}
				g.Steps = append(g.Steps, s)
			}
			for b.Loop() {
				if _, err := Run(b.Context(), g, Options{Sink: NewRecorder(g), MaxParallelHosts: hosts / 2}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*40*hosts), "µs/pair")
		})
	}
}
