// Command hosts boots and removes container hosts by hand: machines with systemd and sshd on a network without a way out.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/e2e/hosts"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newCommand().ExecuteContext(ctx)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "hosts:", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	options := hosts.Options{Log: func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }}
	root := &cobra.Command{
		Use:           "hosts",
		Short:         "Boot container hosts with systemd and sshd, on a network without a way out",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&options.Name, "name", "dev", "name of the fleet")
	flags.StringVar(&options.StateDir, "state-dir", "", "where the fleet's key and description are (default: in the user cache directory)")
	flags.StringVar(&options.CacheDir, "cache-dir", "", "where the root file system is kept (default: in the user cache directory)")
	flags.StringVar(&options.Suite, "suite", "", "distribution release of the hosts (default: bookworm; on Ubuntu this machine's)")
	flags.StringVar(&options.Engine.Dir, "engine-dir", "", "where an engine started by this program keeps its files (default: /var/lib/kubewright-e2e)")
	root.AddCommand(upCommand(&options), downCommand(&options), listCommand(&options), sshCommand(&options), imageCommand(&options))
	return root
}

func upCommand(options *hosts.Options) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Boot a fleet, in place of an earlier one of the same name, and print its hosts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			boot := hosts.Up
			if keep {
				boot = hosts.Ensure
			}
			fleet, err := boot(cmd.Context(), *options)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), fleet)
		},
	}
	cmd.Flags().IntVar(&options.Count, "count", 4, "number of hosts")
	cmd.Flags().BoolVar(&keep, "keep", false, "leave a fleet of that name and size alone when all its hosts run")
	return cmd
}

func downCommand(options *hosts.Options) *cobra.Command {
	var engine bool
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Remove a fleet and everything of it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := hosts.Down(cmd.Context(), *options); err != nil {
				return err
			}
			if !engine {
				return nil
			}
			stopped, err := hosts.StopEngine(cmd.Context(), options.Engine)
			if err == nil && !stopped {
				fmt.Fprintln(cmd.ErrOrStderr(), "the engine was not started by this program and is left alone")
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&engine, "engine", false, "also stop the engine, if this program started it")
	return cmd
}

func listCommand(options *hosts.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the fleets and their hosts",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			names, err := hosts.List(cmd.Context())
			if err != nil {
				return err
			}
			for _, name := range names {
				one := *options
				one.Name = name
				fleet, err := hosts.Open(cmd.Context(), one)
				if err != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "%v (pieces are left; remove them with: down --name %s)\n", err, name)
					continue
				}
				if err := show(cmd.OutOrStdout(), fleet); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func sshCommand(options *hosts.Options) *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use:   "ssh HOST [COMMAND...]",
		Short: "Log in to a host with the fleet's key",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			fleet, err := hosts.Open(cmd.Context(), *options)
			if err != nil {
				return err
			}
			host, err := fleet.Host(args[0])
			if err != nil {
				return err
			}
			argv := append(sshArgs(fleet), "-l", user, host.Address.String())
			ssh := exec.CommandContext(cmd.Context(), "ssh", append(argv, args[1:]...)...)
			ssh.Stdin, ssh.Stdout, ssh.Stderr = os.Stdin, os.Stdout, os.Stderr
			return ssh.Run()
		},
	}
	cmd.Flags().StringVarP(&user, "login", "l", "root", "user to log in as")
	cmd.Flags().SetInterspersed(false)
	return cmd
}

func imageCommand(options *hosts.Options) *cobra.Command {
	return &cobra.Command{
		Use:   "image",
		Short: "Make sure that an engine runs and has the image of a host, and print its name",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			engine := options.Engine
			engine.Log = options.Log
			if err := hosts.EnsureEngine(cmd.Context(), engine); err != nil {
				return err
			}
			image, err := hosts.EnsureImage(cmd.Context(), *options)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), image)
			return err
		},
	}
}

// show prints one line per host, and how to log in.
func show(out io.Writer, fleet *hosts.Fleet) error {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "FLEET\tHOST\tADDRESS\tCONTAINER\tHOST KEY\n")
	for _, host := range fleet.Hosts() {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", fleet.Name, host.Name, host.Address, host.Container, host.HostKeys[0])
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(out, "subnet %s, this machine is %s\nkey %s\nssh %s -l root ADDRESS\n",
		fleet.Subnet, fleet.Gateway, fleet.KeyPath, strings.Join(sshArgs(fleet), " "))
	return err
}

func sshArgs(fleet *hosts.Fleet) []string {
	return []string{"-i", fleet.KeyPath, "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + fleet.KnownHostsPath, "-o", "StrictHostKeyChecking=yes"}
}
