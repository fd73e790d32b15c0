// Package cli is the kubewright command line: one file for each command, which turns flags into calls and results into text. What a
// command does is the business of the packages it calls.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/cmd/kubewright/internal/bundlecmd"
	"github.com/kubewright/kubewright/pkg/provision"
	"github.com/kubewright/kubewright/pkg/standalone"
)

// Environment is what commands get from outside.
type Environment struct {
	In       io.Reader
	Out, Err io.Writer
	// Runner carries operations out.
	Runner provision.Runner
}

// Run runs the command that the arguments name and returns the exit code. ctx ends when the user wants to stop.
func Run(ctx context.Context, env Environment, args []string) int {
	drawn := env.Err
	env.Out, env.Err = &terminal{env.Out}, &terminal{env.Err}
	root := newRoot(env) //nolint:contextcheck // commands get the context from cobra when they run
	root.SetErr(drawn)   // commands on bundles draw how far they are
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = &failure{err: errStopped, hint: "run the same command to go on", code: ExitInterrupted}
	}
	return report(env.Err, err)
}

func newRoot(env Environment) *cobra.Command {
	root := &cobra.Command{
		Use:   "kubewright",
		Short: "Build and keep Kubernetes clusters on machines you own, also where there is no internet",
		Long: `Kubewright brings up real Kubernetes clusters over SSH from one sealed bundle file, and keeps them as you describe them.

Start with a bundle, a file that describes hosts and a cluster, and:

  kubewright up -f cluster.yaml --bundle kubernetes-1.36.bundle`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return badInput(err, fmt.Sprintf("see %s --help", cmd.CommandPath()))
	})
	root.AddCommand(newUp(env), newPlan(env), newApprove(env), newCancel(env), newRetry(env), newBackup(env), newList(), newStatus(), newLogs(env),
		newKubeconfig(), newHost(env), newDelete(env), newManager(env), newVersion(), bundlecmd.New())
	return root
}

// stateDirFlag adds the flag every command that needs state has.
func stateDirFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "state-dir", "", "directory that keeps everything between runs (default $"+stateDirVariable+", else ~/.kubewright)")
}

// stateDirVariable names the state directory where no flag does.
const stateDirVariable = "KUBEWRIGHT_STATE_DIR"

// stateDir is the directory named by the flag, else by the environment, or the default one.
func stateDir(named string) (string, error) {
	if named == "" {
		named = os.Getenv(stateDirVariable)
	}
	if named != "" {
		return named, nil
	}
	return standalone.DefaultDir()
}

// verifiedDir is where a state directory remembers which bundles were verified.
func verifiedDir(state string) string { return filepath.Join(state, "verified") }

// exactly checks the number of arguments and names what is missing.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return badInput(fmt.Errorf("%s takes %d arguments %v, not %d", cmd.CommandPath(), len(names), names, len(args)), fmt.Sprintf("see %s --help", cmd.CommandPath()))
	}
}

// atMostOne allows one optional argument.
func atMostOne(name string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) <= 1 {
			return nil
		}
		return badInput(fmt.Errorf("%s takes one %s at most, not %d", cmd.CommandPath(), name, len(args)), fmt.Sprintf("see %s --help", cmd.CommandPath()))
	}
}
