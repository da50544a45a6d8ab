package masterkey

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// secret has bytes of all kinds, and in base64 both characters that differ
// between its alphabets.
var secret = append([]byte{0xfb, 0xff, 0xfe, 0, '\n', ' '}, bytes.Repeat([]byte{0xe7, 1}, 13)...)

func TestParse(t *testing.T) {
	b64 := base64.StdEncoding.EncodeToString(secret)
	if !strings.ContainsAny(b64, "+") || !strings.ContainsAny(b64, "/") {
		t.Fatalf("%s shows no difference between alphabets", b64)
	}
	for _, tt := range []struct {
		name, text string
		ok         bool
	}{
		{"raw", string(secret), true},
		{"hex", hex.EncodeToString(secret), true},
		{"upper case hex with a line end", strings.ToUpper(hex.EncodeToString(secret)) + "\n", true},
		{"base64", b64, true},
		{"base64 with space around", " " + b64 + "\r\n", true},
		{"base64 without padding", base64.RawStdEncoding.EncodeToString(secret), true},
		{"base64 for URLs", base64.URLEncoding.EncodeToString(secret), true},
		{"nothing", "", false},
		{"a passphrase", "correct horse battery staple", false},
		{"32 characters", "correct horse battery staple 123", false},
		{"32 hexadecimal digits", "0123456789abcdef0123456789abcdef", false},
		{"31 bytes", string(secret[:31]), false},
		{"33 bytes", string(secret) + "x", false},
		{"31 bytes in base64", base64.StdEncoding.EncodeToString(secret[:31]), false},
		{"33 bytes in base64", base64.StdEncoding.EncodeToString(append(bytes.Clone(secret), 1)), false},
		{"64 digits, one of them none", "x" + hex.EncodeToString(secret)[1:], false},
		{"two keys", b64 + "\n" + b64, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, err := Parse([]byte(tt.text))
			if (err == nil) != tt.ok || (tt.ok && !bytes.Equal(key, secret)) {
				t.Fatalf("got %x, %v", key, err)
			}
			if err != nil && len(tt.text) > 8 && strings.Contains(err.Error(), strings.TrimSpace(tt.text)) {
				t.Errorf("the text shows: %v", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(secret)
	f.Add([]byte(hex.EncodeToString(secret)))
	f.Add([]byte(base64.StdEncoding.EncodeToString(secret)))
	f.Fuzz(func(t *testing.T, text []byte) {
		if key, err := Parse(text); err == nil && len(key) != Bytes {
			t.Errorf("a key of %d bytes", len(key))
		}
	})
}

func getenv(name string) (string, bool) {
	switch name {
	case "KEY":
		return hex.EncodeToString(secret), true
	case "EMPTY":
		return "", true
	}
	return "", false
}

func write(t *testing.T, data []byte, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell and modes of files")
	}
	b64 := base64.StdEncoding.EncodeToString(secret)
	for _, tt := range []struct {
		name    string
		source  Source
		warning string
		want    string // in the error
	}{
		{"file", Source{File: write(t, secret, 0o600)}, "", ""},
		{"file for its owner alone, read only", Source{File: write(t, []byte(b64), 0o400)}, "", ""},
		{"file for all", Source{File: write(t, secret, 0o644)}, "(mode 0644); chmod 600 it", ""},
		{"file for the group", Source{File: write(t, secret, 0o640)}, "(mode 0640)", ""},
		{"no file", Source{File: "/no/such/file"}, "", "file /no/such/file: no such file or directory"},
		{"a directory", Source{File: os.TempDir()}, "", "is a directory"},
		{"a large file", Source{File: write(t, make([]byte, 5000), 0o600)}, "", "it has more than 4096 bytes"},
		{"a file that is none", Source{File: write(t, []byte("hunter2"), 0o600)}, "", "its 7 bytes are not a key"},
		{"variable", Source{Env: "KEY"}, "", ""},
		{"variable that is not set", Source{Env: "NONE"}, "", "variable NONE: it is not set"},
		{"variable that is empty", Source{Env: "EMPTY"}, "", "variable EMPTY: it is not set"},
		{"command", Source{Command: []string{"echo", b64}}, "", ""},
		{"command that fails", Source{Command: []string{"sh", "-c", "echo denied >&2; exit 3"}}, "", `command sh: exit status 3: "denied"`},
		{"command that is not there", Source{Command: []string{"no-such-program-here"}}, "", "command no-such-program-here: "},
		{"command that prints nothing", Source{Command: []string{"true"}}, "", "its 0 bytes are not a key"},
		{"command without end", Source{Command: []string{"yes"}}, "", "it prints more than 4096 bytes"},
		{"command that complains without end, and then gives a key", Source{Command: []string{"sh", "-c", "yes | head -c 100000 >&2; echo " + b64}}, "", ""},
		{"nothing", Source{}, "", "no source: a file, a variable or a command must be named"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key, warning, err := tt.source.Read(t.Context(), getenv)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Fatalf("got %v, want %q", err, tt.want)
				}
				if strings.Contains(err.Error(), "hunter2") || len(err.Error()) > 6000 {
					t.Errorf("the error shows what was read, or too much: %v", err)
				}
				return
			}
			if err != nil || !bytes.Equal(key, secret) {
				t.Fatalf("got %x, %v", key, err)
			}
			if (warning == "") != (tt.warning == "") || !strings.Contains(warning, tt.warning) {
				t.Errorf("warning %q, want %q", warning, tt.warning)
			}
		})
	}
}

// TestCommandEnds ends commands that would not, by their time and by the
// caller's, also when a child of theirs holds the output.
func TestCommandEnds(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("needs a shell")
	}
	_, err := run(t.Context(), []string{"sh", "-c", "exec sleep 1000"}, 20*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "it did not end within 20ms") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := run(ctx, []string{"sh", "-c", "exec sleep 1000"}, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
