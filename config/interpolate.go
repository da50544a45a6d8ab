package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Bounds on what ${env:...} and ${file:...} may bring in.
const (
	maxResolvedValue = 64 << 10 // one value
	maxResolvedTotal = 4 << 20  // all values of a file
	maxOrigins       = 3        // named in a message about one value
)

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ReadFile reads a file of at most 1 MiB, the largest that Load takes.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("%s: more than %v", path, Bytes(maxFileBytes))
	}
	return data, nil
}

// resolver puts the values of the environment and of files into texts.
type resolver struct {
	getenv   func(string) (string, bool)
	readFile func(string) ([]byte, error)
	files    map[string]fileText
	total    int
}

type fileText struct {
	text string
	err  error
}

// resolve replaces each ${env:NAME}, ${env:NAME:-default} and ${file:PATH} of a
// text; $${ stands for ${ itself. What is put in is not looked at again. origin
// names where values came from, and is empty if there were none.
func (r *resolver) resolve(text string) (value, origin string, err error) {
	if !strings.Contains(text, "${") {
		return text, "", nil
	}
	var b strings.Builder
	var origins []string
	for {
		at := strings.Index(text, "${")
		if at < 0 {
			b.WriteString(text)
			break
		}
		if at > 0 && text[at-1] == '$' {
			b.WriteString(text[:at-1])
			b.WriteString("${")
			text = text[at+2:]
			continue
		}
		b.WriteString(text[:at])
		body, rest, closed := strings.Cut(text[at+2:], "}")
		if !closed {
			return "", "", errors.New("${ has no closing }; write $${ for the two characters themselves")
		}
		if r.total > maxResolvedTotal {
			return "", "", fmt.Errorf("${%s} is one too many: all such values together are more than %v", clip(body), Bytes(maxResolvedTotal))
		}
		put, err := r.lookup(body)
		if err != nil {
			return "", "", err
		}
		b.WriteString(put)
		name, _, _ := strings.Cut(body, ":-")
		if r.total += len(put); b.Len() > maxResolvedValue {
			return "", "", fmt.Errorf("the text is more than %v with the value of ${%s}", Bytes(maxResolvedValue), clip(name))
		}
		if len(origins) < maxOrigins {
			origins = append(origins, "${"+clip(name)+"}")
		}
		text = rest
	}
	return b.String(), strings.Join(origins, " "), nil
}

func (r *resolver) lookup(body string) (string, error) {
	scheme, rest, _ := strings.Cut(body, ":")
	switch scheme {
	case "env":
		name, fallback, hasFallback := strings.Cut(rest, ":-")
		if !envName.MatchString(name) {
			return "", fmt.Errorf("${env:%s} names no variable; a name has letters, digits and _", clip(name))
		}
		value, set := r.getenv(name)
		switch {
		case value != "":
			if !utf8.ValidString(value) {
				return "", fmt.Errorf("${env:%s} is not UTF-8 text", name)
			}
			return value, nil
		case hasFallback:
			return fallback, nil
		case !set:
			return "", fmt.Errorf("${env:%s} is not set; set that variable, or write ${env:%s:-default}", name, name)
		}
		return "", nil
	case "file":
		if rest == "" {
			return "", errors.New("${file:} names no file")
		}
		return r.file(rest)
	}
	return "", fmt.Errorf("${%s} is not known; only ${env:NAME}, ${env:NAME:-default} and ${file:PATH} are, and $${ stands for ${ itself", clip(body))
}

// file returns the text of a file without the line end at its end. Each file is
// read once.
func (r *resolver) file(path string) (string, error) {
	if f, ok := r.files[path]; ok {
		return f.text, f.err
	}
	data, err := r.readFile(path)
	var f fileText
	switch {
	case err != nil:
		f.err = fmt.Errorf("${file:%s} cannot be read: %w", clip(path), err)
	case len(data) > maxResolvedValue:
		f.err = fmt.Errorf("${file:%s} has more than %v", clip(path), Bytes(maxResolvedValue))
	case !utf8.Valid(data):
		f.err = fmt.Errorf("${file:%s} is not UTF-8 text", clip(path))
	default:
		f.text = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	}
	r.files[path] = f
	return f.text, f.err
}
