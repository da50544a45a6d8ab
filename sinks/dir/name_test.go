package dir

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTempName(t *testing.T) {
	for _, name := range []string{"a", "x.json.gz", strings.Repeat("n", 255), strings.Repeat("é", 127) + "x"} {
		got := tempName(name, "plan")
		if len(got) > maxNameBytes || !isTempName(got) || !utf8.ValidString(got) {
			t.Errorf("tempName(%q) = %q, %d bytes", name, got, len(got))
		}
		if got == tempName(name, "other plan") {
			t.Errorf("two plans share %q", got)
		}
	}
}

// FuzzCheckKey: a key that is taken names a file below the root.
func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{
		"a", "a/b", "/a", "a//b", "../a", "a/../b", "a/.", "C:\\x", "a\x00", ".a." + strings.Repeat("0", 32) + ".tmp", "é", "a/", "\u0085", "~",
	} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if CheckKey(key) != nil {
			return
		}
		const root = "/srv/root"
		path := filepath.Join(root, filepath.FromSlash(key))
		if !strings.HasPrefix(path, root+"/") || path != root+"/"+key {
			t.Errorf("key %q becomes %q", key, path)
		}
		if strings.ContainsAny(key, "\x00\n\r") || isTempName(filepath.Base(path)) {
			t.Errorf("key %q was taken", key)
		}
	})
}
