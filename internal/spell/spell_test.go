package spell

import "testing"

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"kitten", "sitting", 3}, {"eht0", "eth0", 1}} {
		if got := Distance(c.a, c.b); got != c.want || Distance(c.b, c.a) != c.want {
			t.Errorf("distance of %q and %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"host-name", "address", "KNOWN"}
	for name, want := range map[string]string{"Host_Nmae": "host-name", "adress": "address", "known": "KNOWN", "": "", "zzzz": "",
		"address-of-the-client-that-is-far-longer-than-any-word-that-was-ever-meant": ""} {
		if got := Nearest(name, words); got != want {
			t.Errorf("nearest to %q: %q, want %q", name, got, want)
		}
	}
}
