package cli

import "testing"

// Where a user's leases lie must not depend on the directory the server is started in.
func TestUserStoreDirIsAbsolute(t *testing.T) {
	for _, c := range []struct {
		environ []string
		want    string
	}{
		{[]string{"XDG_STATE_HOME=/s", "HOME=/h"}, "/s/lessor/db"},
		{[]string{"HOME=/h"}, "/h/.local/state/lessor/db"},
		{[]string{"XDG_STATE_HOME=s", "HOME=/h"}, "/h/.local/state/lessor/db"},
		{[]string{"XDG_STATE_HOME=", "HOME="}, "/var/lib/lessor/db"},
		{nil, "/var/lib/lessor/db"},
	} {
		g := &globals{environ: c.environ}
		if got := g.userStoreDir(); got != c.want {
			t.Errorf("with %q: %s, not %s", c.environ, got, c.want)
		}
	}
}
