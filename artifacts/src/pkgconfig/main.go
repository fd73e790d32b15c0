// Pkgconfig answers the go command's questions to pkg-config from .pc files below one directory, KUBEWRIGHT_SYSROOT, in
// the layout of Debian's architecture KUBEWRIGHT_TRIPLE. So the C libraries of a build are exactly the pinned packages,
// whatever else is installed on the machine. It understands only what those files contain.
package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if err := answer(os.Args[1:], os.Getenv("KUBEWRIGHT_SYSROOT"), os.Getenv("KUBEWRIGHT_TRIPLE")); err != nil {
		fmt.Fprintln(os.Stderr, "pkgconfig:", err)
		os.Exit(1)
	}
}

// answer prints the compiler or linker flags of the packages named in args.
func answer(args []string, root, triple string) error {
	var want []string
	var flags []string
	for _, a := range args {
		switch {
		case a == "--cflags":
			want = append(want, "Cflags")
		case a == "--libs":
			want = append(want, "Libs")
		case strings.HasPrefix(a, "-"):
		default:
			fields, err := read(filepath.Join(root, "usr/lib", triple, "pkgconfig", a+".pc"), root)
			if err != nil {
				return err
			}
			for _, w := range want {
				flags = append(flags, fields[w])
			}
		}
	}
	_, err := fmt.Println(strings.Join(flags, " "))
	return err
}

// read returns the fields of a .pc file with its variables put in; the variable prefix gets root before it.
func read(file, root string) (map[string]string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	variables, fields := map[string]string{}, map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line := os.Expand(strings.TrimSpace(s.Text()), func(name string) string { return variables[name] })
		name, value, isVariable := strings.Cut(line, "=")
		key, field, isField := strings.Cut(line, ":")
		switch {
		case isVariable && !(isField && len(key) < len(name)):
			if name == "prefix" {
				value = root + value
			}
			variables[name] = value
		case isField:
			fields[key] = strings.TrimSpace(field)
		}
	}
	return fields, nil
}
