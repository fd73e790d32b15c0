package input

import (
	"reflect"
	"slices"
	"strings"
)

// Likely is the name among others that was probably meant; empty when none is near.
func Likely(written string, names []string) string {
	best, least := "", len(written)/3+1
	for _, name := range slices.Sorted(slices.Values(names)) {
		if strings.EqualFold(name, written) {
			return name
		}
		if d := distance(strings.ToLower(written), strings.ToLower(name)); d < least || d == least && best == "" {
			best, least = name, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, exchange or swap with the next that lead from one word to the other.
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// deepest is how far below an object a field of a wanted name is looked for.
const deepest = 3

// elsewhere lists the places at or below a type at which a field of that name stands, nearest first; path is that of the type.
func elsewhere(t reflect.Type, path, name string) []string {
	var found []string
	var look func(t reflect.Type, path string, depth int)
	look = func(t reflect.Type, path string, depth int) {
		t, suffix := element(t)
		if t.Kind() != reflect.Struct || opaque(t) || depth > deepest {
			return
		}
		path += suffix
		for _, f := range fieldsOf(t) {
			at := join(path, f.name)
			if f.name == name {
				found = append(found, at)
			}
			look(f.kind, at, depth+1)
		}
	}
	look(t, path, 0)
	slices.SortStableFunc(found, func(a, b string) int { return strings.Count(a, ".") - strings.Count(b, ".") })
	return found
}

// element is what a pointer or a list is of, and how that is written behind the path.
func element(t reflect.Type) (reflect.Type, string) {
	suffix := ""
	for {
		switch {
		case t.Kind() == reflect.Pointer:
			t = t.Elem()
		case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
			t, suffix = t.Elem(), suffix+"[]"
		default:
			return t, suffix
		}
	}
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
