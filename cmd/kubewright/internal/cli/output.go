package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// outputJSON is the value of --output for programs.
const outputJSON = "json"

func outputFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "output", "o", "", "json: one JSON object for programs (default text for people)")
}

// checkOutput refuses a form that there is not, before anything is done.
func checkOutput(output string) error {
	if output == "" || output == outputJSON {
		return nil
	}
	return badInput(fmt.Errorf("--output %q is not known", output), "write -o json, or nothing for text")
}

// writeJSON writes one value, indented.
func writeJSON(w io.Writer, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the output: %w", err)
	}
	_, err = fmt.Fprintf(w, "%s\n", content)
	return err
}
