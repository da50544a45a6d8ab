package dynamodb

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"sync"
	"time"

	"github.com/firehosed/firehosed/api/wire"
)

// Bounds of the memory of transactions.
const (
	tokenLife = 10 * time.Minute
	maxTokens = 10_000
)

// tokens remember transactions by their ClientRequestToken, so that a client
// that missed the answer may send one again. They are kept in memory: a
// restart forgets them.
type tokens struct {
	mu   sync.Mutex
	seen map[string]*transaction
	line []*transaction // from the oldest; some may be out of seen already
}

type transaction struct {
	token string
	sum   [sha256.Size]byte // of what it asks for
	at    time.Time
	done  bool
}

// begin notes that a transaction runs. Nil without an error means that it
// succeeded earlier.
func (t *tokens) begin(token string, sum [sha256.Size]byte, now time.Time) (*transaction, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen == nil {
		t.seen = map[string]*transaction{}
	}
	for len(t.line) > 0 && (len(t.line) >= maxTokens || now.Sub(t.line[0].at) >= tokenLife) {
		if first := t.line[0]; t.seen[first.token] == first {
			delete(t.seen, first.token)
		}
		t.line = t.line[1:]
	}
	if old := t.seen[token]; old != nil {
		switch {
		case old.sum != sum:
			return nil, wire.Errorf(codeMismatch, "The request uses the same client token as a previous, but non-identical request.")
		case !old.done:
			return nil, wire.Errorf(codeInProgress, "The transaction with the given request token is already in progress.")
		}
		return nil, nil
	}
	x := &transaction{token: token, sum: sum, at: now}
	t.seen[token] = x
	t.line = append(t.line, x)
	return x, nil
}

// end notes what became of a transaction. One that failed may be tried again.
func (t *tokens) end(x *transaction, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if x.done = ok; !ok && t.seen[x.token] == x {
		delete(t.seen, x.token)
	}
}

// sumOf is a checksum of a part of a request.
func sumOf(v wire.Value) (sum [sha256.Size]byte) {
	h := sha256.New()
	hashValue(h, v)
	return [sha256.Size]byte(h.Sum(nil))
}

// hashValue feeds h with a value, each part with its kind and length.
func hashValue(h hash.Hash, v wire.Value) {
	head := func(n int) {
		var b [9]byte
		b[0] = byte(v.Kind())
		binary.LittleEndian.PutUint64(b[1:], uint64(n))
		_, _ = h.Write(b[:])
	}
	switch v.Kind() {
	case wire.Items:
		head(v.Len())
		for item := range v.Items() {
			hashValue(h, item)
		}
	case wire.Object:
		head(v.Len())
		for key, item := range v.Pairs() {
			head(len(key))
			_, _ = io.WriteString(h, key)
			hashValue(h, item)
		}
	case wire.Bool, wire.Number:
		head(int(v.Int(0)))
	default:
		head(len(v.Bytes()))
		_, _ = h.Write(v.Bytes())
	}
}
