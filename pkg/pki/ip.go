package pki

import (
	"fmt"
	"net"
)

func parseIPs(texts []string) ([]net.IP, error) {
	ips := make([]net.IP, 0, len(texts))
	for _, text := range texts {
		ip := net.ParseIP(text)
		if ip == nil {
			return nil, fmt.Errorf("%q is not an IP address", text)
		}
		ips = append(ips, ip)
	}
	return ips, nil
}
