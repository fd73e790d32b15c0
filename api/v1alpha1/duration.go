package v1alpha1

import (
	"encoding/json"
	"fmt"
	"time"
)

// Duration is a length of time as people write it: numbers with units, such as 90s, 5m or 1h30m. The zero value, "0s", means that nothing
// was given. One that was stored before texts were judged, and that is not a duration, is kept as it is and counts as not given: it must not keep
// anybody from reading the object, nor the others in a list.
// +kubebuilder:validation:Type=string
// +kubebuilder:validation:MaxLength=32
type Duration struct {
	time.Duration `json:"-"`
	// Invalid is what stands there when that is no length of time.
	Invalid string `json:"-"`
}

// Or returns the duration, or another where none was given that can be used.
func (d Duration) Or(otherwise time.Duration) time.Duration {
	if d.Duration <= 0 {
		return otherwise
	}
	return d.Duration
}

// UnmarshalJSON reads any text; an error is only what is no text.
func (d *Duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("a duration is a text such as 5m: %w", err)
	}
	*d = Duration{}
	parsed, err := time.ParseDuration(text)
	if err != nil {
		d.Invalid = text
		return nil //nolint:nilerr // it was stored before it was judged; see the type
	}
	d.Duration = parsed
	return nil
}

// MarshalJSON writes what was read, also when that is no length of time.
func (d Duration) MarshalJSON() ([]byte, error) {
	if d.Invalid != "" && d.Duration == 0 {
		return json.Marshal(d.Invalid)
	}
	return json.Marshal(d.String())
}
