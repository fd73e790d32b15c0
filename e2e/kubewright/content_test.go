package kubewright

import "testing"

func TestContentIsFoundInWhatIsPrinted(t *testing.T) {
	const before, after = "\n  Traffic  4 connections, 61 requests (at most 20 to one host), ", "\n  Connections/requests  n1 1/20\n"
	for title, test := range map[string]struct {
		printed string
		want    Content
		fails   bool
	}{
		"much moved":                   {printed: before + "1.5 GiB of content, 512.0 MiB of it over SSH" + after, want: Content{All: 3 << 29, OverSSH: 1 << 29}},
		"nothing moved":                {printed: before + "0 B of content, 0 B of it over SSH" + after},
		"some bytes moved":             {printed: before + "1023 B of content, 1.0 KiB of it over SSH" + after, want: Content{All: 1023, OverSSH: 1024}},
		"it is not said how much":      {printed: before + after, fails: true},
		"it is not said over what":     {printed: before + "1.5 GiB of content" + after, fails: true},
		"it is said of two operations": {printed: before + "0 B of content, 0 B of it over SSH" + before + "0 B of content, 0 B of it over SSH" + after, fails: true},
	} {
		t.Run(title, func(t *testing.T) {
			got, err := ContentIn(test.printed)
			if got != test.want || (err != nil) != test.fails {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}
