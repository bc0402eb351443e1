// Package spell says how far a mistyped word is from one that was meant.
package spell

import "strings"

// Distance is how many letters must be put in, left out, changed or swapped with
// the next one to make b of a. It compares octets.
func Distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// Nearest returns the word of list that name was probably meant to be, or "" when
// none is near. Capitals count for nothing, and an
// underscore in name is a hyphen.
func Nearest(name string, list []string) string {
	if name == "" || len(name) > 64 {
		return ""
	}
	name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
	best, least := "", 1+max(1, len(name)/3)
	for _, w := range list {
		if d := Distance(name, strings.ToLower(w)); d < least {
			best, least = w, d
		}
	}
	return best
}
