package kinesis

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"

	"github.com/firehosed/firehosed/streams"
)

// sealer makes opaque tokens that carry their own contents: a kind, the
// contents, and a MAC over both. Nobody without the key can make one.
type sealer struct{ key []byte }

// Kinds of tokens. The first byte of every token: a token of one kind is
// never taken for another. Values are kept across releases.
const (
	tokenIterator      byte = 1
	tokenListShards    byte = 2
	tokenListStreams   byte = 3
	tokenListConsumers byte = 4
)

const macBytes = 16

func (s sealer) mac(b []byte) []byte {
	h := hmac.New(sha256.New, s.key)
	h.Write(b)
	return h.Sum(nil)[:macBytes]
}

// seal returns a token. A random part makes every token differ from all
// others with the same contents.
func (s sealer) seal(kind byte, contents []byte) string {
	b := make([]byte, 0, 1+8+len(contents)+macBytes)
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint64(b, rand.Uint64())
	b = append(b, contents...)
	return base64.RawURLEncoding.EncodeToString(append(b, s.mac(b)...))
}

// open returns the contents of a token of this kind, or false if it is not
// one of ours.
func (s sealer) open(kind byte, token string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < 1+8+macBytes || b[0] != kind {
		return nil, false
	}
	end := len(b) - macBytes
	if !hmac.Equal(s.mac(b[:end]), b[end:]) {
		return nil, false
	}
	return b[9:end], true
}

// fields reads the contents of a token back. After the first field that is
// not there, bad is set and all others are zero.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) uint() uint64 {
	v, n := binary.Uvarint(f.b)
	if n <= 0 {
		f.bad, f.b = true, nil
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) int() int64 {
	v, n := binary.Varint(f.b)
	if n <= 0 {
		f.bad, f.b = true, nil
		return 0
	}
	f.b = f.b[n:]
	return v
}

func (f *fields) text() string {
	n := f.uint()
	if n > uint64(len(f.b)) {
		f.bad, f.b = true, nil
		return ""
	}
	v := string(f.b[:n])
	f.b = f.b[n:]
	return v
}

// done reports whether every field was there and nothing is left.
func (f *fields) done() bool { return !f.bad && len(f.b) == 0 }

func appendText(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// iterator is a position in a shard, and when a client got it.
type iterator struct {
	stream   string
	streamID uint64
	shard    streams.ShardID
	created  int64 // of the shard, seconds since 1970: it is in its sequence numbers
	kind     streams.PositionKind
	seq      streams.Sequence // for streams.At
	millis   int64            // for streams.AtTime
	issued   int64            // milliseconds since 1970
}

func (s sealer) sealIterator(it iterator) string {
	b := make([]byte, 0, 192)
	b = appendText(b, it.stream)
	b = binary.AppendUvarint(b, it.streamID)
	b = binary.AppendUvarint(b, uint64(it.shard))
	b = binary.AppendVarint(b, it.created)
	b = append(b, byte(it.kind))
	b = binary.AppendUvarint(b, uint64(it.seq))
	b = binary.AppendVarint(b, it.millis)
	b = binary.AppendVarint(b, it.issued)
	return s.seal(tokenIterator, b)
}

func (s sealer) openIterator(token string) (iterator, bool) {
	b, ok := s.open(tokenIterator, token)
	if !ok {
		return iterator{}, false
	}
	f := fields{b: b}
	it := iterator{
		stream:   f.text(),
		streamID: f.uint(),
		shard:    streams.ShardID(f.uint()),
		created:  f.int(),
		kind:     streams.PositionKind(f.uint()),
		seq:      streams.Sequence(f.uint()),
		millis:   f.int(),
		issued:   f.int(),
	}
	return it, f.done()
}
