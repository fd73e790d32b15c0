package bundlecmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/kubewright/kubewright/pkg/bundle"
	"github.com/kubewright/kubewright/pkg/bundle/sign"
)

func newKeygen() *cobra.Command {
	var output, algorithm string
	var encrypt bool
	var secret passphrase
	cmd := &cobra.Command{
		Use:   "keygen -o NAME",
		Short: "Make a key pair to sign bundles with",
		Long: `Write NAME.key, to sign with, readable by you alone; and NAME.pub, to verify with. Files that exist are not written over.

With --encrypt only a passphrase opens NAME.key; it is asked for on the terminal, or read from --passphrase-file. Without it, keep the
file where nobody else gets at it. Cosign reads both forms.`,
		Example: "  kubewright bundle keygen -o release --encrypt",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SilenceUsage = true
			for _, path := range []string{output + ".key", output + ".pub"} {
				// Before a passphrase is asked for.
				if _, err := os.Lstat(path); err == nil {
					return existsError(path)
				}
			}
			key, err := sign.Generate(sign.Algorithm(algorithm), output)
			if err != nil {
				return err
			}
			private, err := key.PEM()
			if encrypt || secret.file != "" {
				private, err = encryptedPEM(key, &secret, cmd)
			}
			if err != nil {
				return err
			}
			if err := writeNew(output+".key", private, 0o600); err != nil {
				return err
			}
			if err := writeNew(output+".pub", key.Public().PEM(), 0o644); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s.key  %s.pub\n", key.Public().ID(), output, output)
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "name of the two files, without .key and .pub")
	cmd.Flags().BoolVar(&encrypt, "encrypt", false, "encrypt the private key with a passphrase")
	secret.flag(cmd)
	cmd.Flags().StringVar(&algorithm, "algorithm", string(sign.ECDSA), fmt.Sprintf("%s or %s", sign.ECDSA, sign.Ed25519))
	required(cmd, "output")
	return cmd
}

// encryptedPEM is the key in the form that a new passphrase opens.
func encryptedPEM(key *sign.PrivateKey, secret *passphrase, cmd *cobra.Command) ([]byte, error) {
	text, err := secret.forNew(cmd)
	if err != nil {
		return nil, err
	}
	return key.EncryptedPEM(text)
}

// existsError says what to do about a key that would be written over: bundles may have been signed with it.
func existsError(path string) error {
	return fmt.Errorf("%s: %w, and a key is never written over: sign with it (kubewright bundle sign --key), or give the new pair another name with -o", path, fs.ErrExist)
}

// writeNew writes a file that must not be there yet.
func writeNew(path string, content []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return existsError(path)
	}
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}

func newSign() *cobra.Command {
	var keyFile, output string
	var bases []string
	var secret passphrase
	cmd := &cobra.Command{
		Use:   "sign FILE --key FILE",
		Short: "Sign a bundle",
		Long: `Hash all content of a bundle or delta and attach a signature of its digest, in the form of Sigstore. The digest stays the same.
What is attached to the bundle, such as its bill of materials, is signed too. Several keys may sign one after another.

The passphrase of an encrypted key is asked for on the terminal, or read from --passphrase-file; it is never an argument.`,
		Example: "  kubewright bundle sign k8s-1.36.bundle --key release.key",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			cmd.SilenceUsage = true
			key, err := readPrivateKey(cmd, keyFile, &secret)
			if err != nil {
				return err
			}
			b, err := bundle.OpenSet(args[0], bases...)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			m := newMeter(cmd.ErrOrStderr(), "verifying")
			_, err = b.Verify(cmd.Context(), bundle.VerifyOptions{Progress: m.show})
			m.end()
			if err != nil {
				return err
			}
			if output == "" {
				output = args[0]
			}
			if err := sign.Sign(cmd.Context(), output, b, key, time.Now()); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s\n%s  signed by %s\n", b.Digest(), output, key.Public().ID())
			return err
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "private key file (PKCS #8), encrypted as cosign does or not")
	secret.flag(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default: the bundle itself, replaced at once)")
	baseFlag(cmd, &bases)
	required(cmd, "key")
	return cmd
}

// readPrivateKey reads a key file that nobody else can read.
func readPrivateKey(cmd *cobra.Command, path string, secret *passphrase) (*sign.PrivateKey, error) {
	raw, err := readOwn("--key", path)
	if err != nil {
		return nil, err
	}
	return sign.ParsePrivateKey(path, raw, func() ([]byte, error) { return secret.forKey(cmd) })
}

// readOwn reads a file that only its owner can read.
func readOwn(flag, path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: others can read %s (mode %04o); make it yours alone: chmod 600", flag, path, st.Mode().Perm())
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return raw, nil
}

// signaturePolicy is what --key and --min-created ask for; nil when no signature is asked for.
type signaturePolicy struct {
	keyFiles   []string
	minCreated string
}

func (p *signaturePolicy) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&p.keyFiles, "key", nil, "public key file; a signature by one of the keys is needed, and checked before anything else is read")
	cmd.Flags().StringVar(&p.minCreated, "min-created", "", "with --key, refuse bundles created before this time, e.g. 2026-08-01T00:00:00Z")
}

// policy reads the key files.
func (p *signaturePolicy) policy() (sign.Policy, error) {
	var out sign.Policy
	for _, file := range p.keyFiles {
		raw, err := os.ReadFile(file)
		if err != nil {
			return out, fmt.Errorf("--key: %w", err)
		}
		keys, err := sign.ParsePublicKeys(file, raw)
		if err != nil {
			return out, fmt.Errorf("--key: %w", err)
		}
		out.Keys = append(out.Keys, keys...)
	}
	if p.minCreated == "" {
		return out, nil
	}
	if len(p.keyFiles) == 0 {
		return out, errors.New("--min-created needs --key: without a signature a bundle can claim any time")
	}
	t, err := time.Parse(time.RFC3339, p.minCreated)
	if err != nil {
		return out, fmt.Errorf("--min-created: %q is no time such as 2026-08-01T00:00:00Z", p.minCreated)
	}
	out.MinCreated = t
	return out, nil
}

// open opens a bundle as the policy wants it, which must have the expected digest unless that is empty; the evidence is nil when no
// signature is asked for.
func (p *signaturePolicy) open(path string, bases []string, expected string) (*bundle.Bundle, *sign.Evidence, error) {
	policy, err := p.policy()
	if err != nil {
		return nil, nil, err
	}
	if policy.Digest = digest.Digest(expected); len(policy.Keys) == 0 {
		b, err := bundle.OpenTrusted(path, policy.Digest, bases...)
		return b, nil, err
	}
	return sign.Open(path, policy, bases...)
}
