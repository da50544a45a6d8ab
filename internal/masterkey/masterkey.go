// Package masterkey reads keys of 32 random bytes from where operators keep
// them: a file, a variable of the environment, or what a program prints. What
// was read stands in no error.
package masterkey

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

const (
	// Bytes is the length of a key.
	Bytes = 32
	// limit is the most a file or a program may give.
	limit = 4096
	// patience is how long a program has.
	patience = 30 * time.Second
)

// Source is where a key is: exactly one of its fields is set.
type Source struct {
	File    string   // path of a file
	Env     string   // name of a variable
	Command []string // program and its arguments
}

// String names the source.
func (s Source) String() string {
	switch {
	case s.File != "":
		return "file " + s.File
	case s.Env != "":
		return "variable " + s.Env
	case len(s.Command) > 0:
		return "command " + s.Command[0]
	}
	return "no source"
}

// Read returns the key. warning tells what an operator should mend, if there is
// something. A command is killed when ctx ends, and after 30 s.
func (s Source) Read(ctx context.Context, getenv func(string) (string, bool)) (key []byte, warning string, err error) {
	var text []byte
	switch {
	case s.File != "":
		text, warning, err = readFile(s.File)
	case s.Env != "":
		value, set := getenv(s.Env)
		if !set || value == "" {
			err = errors.New("it is not set")
		}
		text = []byte(value)
	case len(s.Command) > 0:
		text, err = run(ctx, s.Command, patience)
	default:
		err = errors.New("a file, a variable or a command must be named")
	}
	if err == nil {
		key, err = Parse(text)
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", s, err)
	}
	return key, warning, nil
}

// Parse reads a key as 32 bytes, 64 hexadecimal digits or base64, the latter two
// with space around them.
func Parse(text []byte) ([]byte, error) {
	if len(text) == Bytes && !printable(text) {
		return bytes.Clone(text), nil
	}
	digits := string(bytes.TrimSpace(text))
	if len(digits) == hex.EncodedLen(Bytes) {
		if key, err := hex.DecodeString(digits); err == nil {
			return key, nil
		}
	}
	std := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(digits, "="))
	if key, err := base64.RawStdEncoding.Strict().DecodeString(std); err == nil && len(key) == Bytes {
		return key, nil
	}
	return nil, fmt.Errorf("its %d bytes are not a key: that is 32 random bytes, as they are, as 64 hexadecimal digits, or in base64, such as openssl rand -base64 32 makes", len(text))
}

// printable reports whether text could have been typed. Random bytes are not,
// and a passphrase is no key.
func printable(text []byte) bool {
	for _, c := range text {
		if (c < ' ' || c > '~') && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return true
}

func readFile(path string) (text []byte, warning string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", bare(err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, "", bare(err)
	}
	if m := st.Mode(); m.IsRegular() && m.Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		warning = fmt.Sprintf("file %s can be used by others than its owner (mode %04o); chmod 600 it", path, m.Perm())
	}
	text, err = io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, "", bare(err)
	}
	if len(text) > limit {
		return nil, "", fmt.Errorf("it has more than %d bytes; a key has %d", limit, Bytes)
	}
	return text, warning, nil
}

// bare is an error without the path, which the message has already.
func bare(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// run returns what a program prints to standard output.
func run(ctx context.Context, command []string, patience time.Duration) ([]byte, error) {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, diag := &bounded{max: limit}, &bounded{max: limit, drop: true}
	cmd := exec.CommandContext(limited, command[0], command[1:]...) //nolint:gosec // What the operator configured.
	cmd.Stdout, cmd.Stderr = out, diag
	cmd.WaitDelay = time.Second // for children that keep its output open
	err := cmd.Run()
	switch {
	case out.full:
		return nil, fmt.Errorf("it prints more than %d bytes; a key has %d", limit, Bytes)
	case err == nil: // in time, whatever the time is now
		return out.buf, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil:
		return nil, fmt.Errorf("it did not end within %v", patience)
	default:
		if why := strings.TrimSpace(strings.ToValidUTF8(string(diag.buf), "?")); why != "" {
			return nil, fmt.Errorf("%w: %q", err, why)
		}
		return nil, err
	}
}

// bounded holds what is written to it up to a limit. Beyond it fails, or drops.
type bounded struct {
	buf  []byte
	max  int
	drop bool
	full bool
}

var errFull = errors.New("too much output")

func (b *bounded) Write(p []byte) (int, error) {
	n := len(p)
	if left := b.max - len(b.buf); n > left {
		b.full, p = true, p[:left]
	}
	b.buf = append(b.buf, p...)
	if b.full && !b.drop {
		return len(p), errFull
	}
	return n, nil
}
