package bundlecmd

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// minPassphrase is how many bytes a new passphrase needs to be more than a formality.
const minPassphrase = 8

// passphrase is where the passphrase of a private key comes from: a file, or whoever sits at the terminal.
type passphrase struct{ file string }

func (p *passphrase) flag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.file, "passphrase-file", "", "file, readable by you alone, with the passphrase of the private key (default: it is asked for on the terminal)")
}

// forKey returns the passphrase of a key that there is.
func (p *passphrase) forKey(cmd *cobra.Command) ([]byte, error) {
	if p.file != "" {
		return p.read()
	}
	return ask(cmd, "Passphrase of the private key: ")
}

// forNew returns the passphrase of a key that is made. What is typed is asked for twice, since nobody sees it.
func (p *passphrase) forNew(cmd *cobra.Command) ([]byte, error) {
	text, err := p.read()
	if p.file == "" {
		text, err = ask(cmd, "New passphrase of the private key: ")
	}
	if err != nil {
		return nil, err
	}
	if len(text) < minPassphrase {
		return nil, fmt.Errorf("the passphrase has %d bytes; at least %d are needed", len(text), minPassphrase)
	}
	if p.file != "" {
		return text, nil
	}
	again, err := ask(cmd, "The same once more: ")
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(text, again) {
		return nil, errors.New("the two passphrases differ; nothing was written")
	}
	return text, nil
}

// read reads the file, without the end of its line.
func (p *passphrase) read() ([]byte, error) {
	if p.file == "" {
		return nil, nil
	}
	raw, err := readOwn("--passphrase-file", p.file)
	if err != nil {
		return nil, err
	}
	text := bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	if len(text) == 0 {
		return nil, fmt.Errorf("--passphrase-file: %s is empty", p.file)
	}
	return text, nil
}

// ask asks on the terminal, which does not show the answer.
func ask(cmd *cobra.Command, prompt string) ([]byte, error) {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, errors.New("the private key needs a passphrase, and there is no terminal to ask on: give it with --passphrase-file")
	}
	fmt.Fprint(cmd.ErrOrStderr(), prompt) //nolint:errcheck // a prompt is not worth failing for
	text, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(cmd.ErrOrStderr()) //nolint:errcheck // a prompt is not worth failing for
	if err != nil {
		return nil, fmt.Errorf("read the passphrase: %w", err)
	}
	if len(text) == 0 {
		return nil, errors.New("the passphrase is empty")
	}
	return text, nil
}
