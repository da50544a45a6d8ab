package delivery

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Prefix is a parsed prefix of object keys with the expressions of Amazon Data
// Firehose: !{timestamp:PATTERN}, !{firehose:random-string} and, in prefixes
// of error outputs, !{firehose:error-output-type}. It may be used
// concurrently.
type Prefix struct {
	parts       []prefixPart
	expressions bool
	errorType   bool // holds !{firehose:error-output-type}
	zone        *time.Location
}

type prefixPart struct {
	kind    partKind
	literal string
	pattern []patternItem
}

type partKind uint8

const (
	literalPart partKind = iota
	timestampPart
	randomPart
	errorTypePart
)

// maxPrefix is how long a prefix may be, before and after evaluation (Amazon
// Data Firehose: 1,024 and 512).
const (
	maxPrefix          = 1024
	maxEvaluatedPrefix = 512
)

// Moment is what a prefix is evaluated for.
type Moment struct {
	Time      time.Time // arrival of the oldest record of the object
	Seed      string    // identifies the object; random strings are drawn from it
	ErrorType string    // for error outputs: "processing-failed" and so on
}

// ParsePrefix reads the prefix of a destination or a backup. zone is that of
// its timestamps; nil means UTC. As in Firehose, a prefix without any
// expression gets yyyy/MM/dd/HH/ appended, also an empty one.
func ParsePrefix(s string, zone *time.Location) (*Prefix, error) {
	p, err := parsePrefix(s, zone)
	if err != nil {
		return nil, err
	}
	if p.errorType {
		return nil, errors.New("prefix must not contain any occurrence of !{firehose:error-output-type}: it belongs to the prefix of an error output")
	}
	if !p.expressions {
		p.appendDate()
	}
	return p, nil
}

// ParseErrorPrefix reads the prefix of an error output. One with expressions
// must hold !{firehose:error-output-type}; to one without, the type is
// appended, and the date.
func ParseErrorPrefix(s string, zone *time.Location) (*Prefix, error) {
	p, err := parsePrefix(s, zone)
	if err != nil {
		return nil, err
	}
	switch {
	case p.expressions && !p.errorType:
		return nil, errors.New("error prefix must contain at least one occurrence of !{firehose:error-output-type}")
	case !p.expressions:
		p.parts = append(p.parts, prefixPart{kind: errorTypePart}, prefixPart{literal: "/"})
		p.appendDate()
	}
	return p, nil
}

func (p *Prefix) appendDate() {
	pattern, _ := parsePattern("yyyy/MM/dd/HH/") // is well formed
	p.parts = append(p.parts, prefixPart{kind: timestampPart, pattern: pattern})
}

func parsePrefix(s string, zone *time.Location) (*Prefix, error) {
	if len(s) > maxPrefix {
		return nil, fmt.Errorf("prefix has %d bytes, more than %d", len(s), maxPrefix)
	}
	if zone == nil {
		zone = time.UTC
	}
	p := &Prefix{zone: zone}
	for s != "" {
		lit, rest, found := strings.Cut(s, "!{")
		if lit != "" {
			p.parts = append(p.parts, prefixPart{literal: lit})
		}
		if !found {
			break
		}
		expr, rest, found := strings.Cut(rest, "}")
		if !found {
			return nil, fmt.Errorf("expression !{%s is not closed by }", rest)
		}
		part, err := parseExpression(expr)
		if err != nil {
			return nil, fmt.Errorf("expression !{%s}: %w", expr, err)
		}
		p.expressions = true
		p.errorType = p.errorType || part.kind == errorTypePart
		p.parts = append(p.parts, part)
		s = rest
	}
	return p, nil
}

func parseExpression(expr string) (prefixPart, error) {
	namespace, value, ok := strings.Cut(expr, ":")
	if !ok {
		return prefixPart{}, errors.New("must be !{namespace:value}")
	}
	switch namespace {
	case "timestamp":
		pattern, err := parsePattern(value)
		return prefixPart{kind: timestampPart, pattern: pattern}, err
	case "firehose":
		switch value {
		case "random-string":
			return prefixPart{kind: randomPart}, nil
		case "error-output-type":
			return prefixPart{kind: errorTypePart}, nil
		}
		return prefixPart{}, fmt.Errorf("firehose has random-string and error-output-type, not %q", value)
	case "partitionKeyFromQuery", "partitionKeyFromLambda":
		return prefixPart{}, errors.New("dynamic partitioning is not available yet")
	}
	return prefixPart{}, fmt.Errorf("unknown namespace %q; timestamp and firehose are known", namespace)
}

// Eval returns the prefix for a moment. The same moment gives the same prefix.
func (p *Prefix) Eval(m Moment) (string, error) {
	var b strings.Builder
	at := m.Time.In(p.zone)
	for i, part := range p.parts {
		switch part.kind {
		case literalPart:
			b.WriteString(part.literal)
		case timestampPart:
			formatPattern(&b, part.pattern, at)
		case randomPart:
			b.WriteString(randomString(m.Seed, i))
		case errorTypePart:
			b.WriteString(m.ErrorType)
		}
	}
	if b.Len() > maxEvaluatedPrefix {
		return "", fmt.Errorf("evaluated prefix has %d bytes, more than %d", b.Len(), maxEvaluatedPrefix)
	}
	return b.String(), nil
}

// randomString draws 11 letters and digits from the seed, others for each
// occurrence: the same object gets the same name when it is tried again.
func randomString(seed string, occurrence int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	h := sha256.New()
	h.Write(binary.BigEndian.AppendUint32(nil, uint32(occurrence)))
	h.Write([]byte(seed))
	sum := h.Sum(nil)
	out := make([]byte, 11)
	for i := range out {
		out[i] = alphabet[int(binary.BigEndian.Uint16(sum[2*i:]))%len(alphabet)]
	}
	return string(out)
}
