package config

import (
	"slices"
	"strings"
)

// didYouMean names the word nearest to a wrong one, as the end of a sentence,
// or returns "" if none is near.
func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return "; did you mean `" + near + "`?"
	}
	return ""
}

// nearest returns the known word that is the fewest typing mistakes away, if
// these are few for its length.
func nearest(word string, known []string) string {
	const longest = 64 // a longer word is no slip of the finger
	if word == "" || len(word) > longest {
		return ""
	}
	folded := fold(word)
	best, bestDistance := "", len(word)
	for _, k := range known {
		d := distance(folded, fold(k))
		if allowed := max(1, (len(k)+1)/3); d <= allowed && d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// fold makes words equal that differ in case or in how their parts are joined:
// maxBody, max-body, max_body.
func fold(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "", ".", "").Replace(strings.ToLower(s))
}

// distance counts the letters to insert, remove, replace or swap with their
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(row[j-1]+1, last[j]+1, change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

// homes returns the sections that do have a key which is unknown where it
// stands, by path from the root, at most three.
func homes(key string) []string {
	var found []string
	seen := map[*Section]bool{}
	var walk func(s *Section, path string)
	walk = func(s *Section, path string) {
		if seen[s] {
			return
		}
		seen[s] = true
		for _, f := range s.Fields {
			if f.Key == key && path != "" {
				found = append(found, path)
			}
			inner, below := f, f.Key
			if path != "" {
				below = path + "." + f.Key
			}
			for inner.Elem != nil {
				if inner.Kind == MapKind {
					below += ".NAME"
				}
				inner = inner.Elem
			}
			if inner.Section != nil {
				walk(inner.Section, below)
			}
		}
	}
	walk(table(), "")
	if len(found) > 3 {
		return nil
	}
	return slices.Clip(found)
}

// orWords joins words for a sentence: a, b or c.
func orWords(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}
