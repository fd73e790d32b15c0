//go:build e2e

package secrets

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// readMetrics notes what an endpoint for metrics says.
func readMetrics(ctx context.Context, h *hunt, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close() //nolint:errcheck // read only
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	h.add(metrics, url, text)
	return nil
}
