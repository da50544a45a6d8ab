// Package aggregate takes apart records into which the Kinesis Producer Library
// packed several: its aggregation format, read side.
//
// An aggregated record is four magic bytes, a protocol buffer of the user
// records, and the MD5 of that buffer. The stream stores and returns it as the
// one record it is; only who delivers or queries its content takes it apart.
// Behaviour follows AggregatorUtil of the Kinesis Client Library 3: what is no
// sound aggregate is a plain record, and an aggregate with a user record that
// does not belong to the shard is dropped as a whole, because the producer
// found that out too and sent it again.
//
// Where the client library drops the rest of an aggregate whose indices point
// nowhere, this package takes the aggregate for a plain record: nothing that
// was acknowledged goes away unseen.
package aggregate

import (
	"crypto/md5" //nolint:gosec // The format says MD5; it guards against accidents only.
	"errors"
	"fmt"
	"iter"
	"unicode/utf8"
	"unsafe"

	"github.com/firehosed/firehosed/streams"
)

const (
	magic      = "\xf3\x89\x9a\xc2"
	digestSize = md5.Size
)

// DefaultMaxRecords is how many user records one aggregate may have.
const DefaultMaxRecords = 1 << 20

// keepKeys is how many entries of the tables a Splitter keeps memory for.
const keepKeys = 16 << 10

// Kind is what a stored record is.
type Kind uint8

const (
	// Plain is a record that is its own user record.
	Plain Kind = iota
	// Aggregated is a record of user records, perhaps of none.
	Aggregated
	// WrongShard is an aggregated record with a user record outside of the hash
	// range of its shard. It has no user records to read: its producer sends
	// them again.
	WrongShard
)

// String returns the kind in words.
func (k Kind) String() string {
	switch k {
	case Plain:
		return "plain"
	case Aggregated:
		return "aggregated"
	case WrongShard:
		return "wrong shard"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// Record is a user record. Its bytes are those of the stored record.
type Record struct {
	PartitionKey []byte
	// ExplicitHashKey is decimal; empty means that the partition key was hashed.
	ExplicitHashKey []byte
	Data            []byte
	// Sub is the place in the aggregate, from 0. With the sequence number of the
	// stored record it is the place in the shard.
	Sub int
}

// Splitter takes stored records apart, one at a time, and uses its memory
// again. The zero Splitter is ready. It is not for concurrent use.
type Splitter struct {
	// MaxRecords is how many user records an aggregate may have, and how many
	// partition keys and explicit hash keys; 0 means 1,048,576. A record with
	// more is Plain. Memory for 8 bytes and one bit of each key is taken.
	MaxRecords int

	message  []byte
	keys     table // of partition keys
	explicit table // of explicit hash keys
	count    int
	err      error
}

// table is a list of texts of a message.
type table struct {
	at      []span
	outside []uint8 // whether a hash is outside of the range of the shard
}

type span struct{ from, to uint32 }

const (
	unknown uint8 = iota
	inside
	outside
)

func (t *table) reset() {
	if cap(t.at) > keepKeys {
		t.at, t.outside = nil, nil
	}
	t.at, t.outside = t.at[:0], t.outside[:0]
}

// IsAggregate reports whether data begins like an aggregated record and is long
// enough for one. Whether it is one, Split says.
func IsAggregate(data []byte) bool {
	return len(data) > len(magic)+digestSize && string(data[:len(magic)]) == magic
}

// Split reads data, which a shard of the given hash range stores, and says what
// it is. Records then returns the user records of one that is Aggregated, until
// the next Split. The data must not change until then.
func (s *Splitter) Split(data []byte, shard streams.HashRange) Kind {
	s.message, s.count, s.err = nil, 0, nil
	s.keys.reset()
	s.explicit.reset()
	if !IsAggregate(data) {
		return Plain
	}
	message, digest := data[len(magic):len(data)-digestSize], data[len(data)-digestSize:]
	if md5.Sum(message) != [digestSize]byte(digest) { //nolint:gosec // see above
		return Plain
	}
	s.message = message
	belongs, err := s.check(shard)
	switch {
	case err != nil:
		s.message, s.count = nil, 0
		s.err = fmt.Errorf("aggregated record: %w", err)
		return Plain
	case !belongs:
		s.message, s.count = nil, 0
		return WrongShard
	}
	return Aggregated
}

// Err says why a record that has the magic bytes and the right MD5 was found
// Plain by the last Split; nil if it was not.
func (s *Splitter) Err() error { return s.err }

// Len returns how many user records the last Split found.
func (s *Splitter) Len() int { return s.count }

// Records returns the user records that the last Split found, in their order.
func (s *Splitter) Records() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		sub := 0
		for f, rest, _ := next(s.message); f.tag != 0; f, rest, _ = next(rest) {
			if f.tag != tagRecords {
				continue
			}
			u, err := readRecord(f.data)
			if err != nil {
				return // check has read all of them
			}
			r := Record{PartitionKey: s.keys.text(s.message, u.key), Data: u.data, Sub: sub}
			if u.hasExplicit {
				r.ExplicitHashKey = s.explicit.text(s.message, u.explicit)
			}
			if !yield(r) {
				return
			}
			sub++
		}
	}
}

func (t *table) text(message []byte, i uint64) []byte {
	at := t.at[i]
	return message[at.from:at.to:at.to]
}

// Reasons for which a message is no aggregate.
var (
	errTooMany  = errors.New("more records or keys than are allowed")
	errNoUTF8   = errors.New("key is not UTF-8")
	errIndex    = errors.New("index points behind the table of keys")
	errRequired = errors.New("required field is missing")
)

// check reads the whole message: the tables first, because a record may come
// before its keys, then the records. It reports whether all of them belong to
// the shard.
func (s *Splitter) check(shard streams.HashRange) (belongs bool, err error) {
	limit := s.MaxRecords
	if limit <= 0 {
		limit = DefaultMaxRecords
	}
	f, rest, err := next(s.message)
	for ; err == nil && f.tag != 0; f, rest, err = next(rest) {
		switch f.tag {
		case tagKeys:
			err = s.keys.add(s.message, rest, f.data, limit)
		case tagExplicit:
			err = s.explicit.add(s.message, rest, f.data, limit)
		case tagRecords:
			if s.count++; s.count > limit {
				err = errTooMany
			}
		}
		if err != nil {
			return false, err
		}
	}
	if err != nil {
		return false, err
	}
	belongs = true
	for f, rest, _ := next(s.message); f.tag != 0; f, rest, _ = next(rest) {
		if f.tag != tagRecords {
			continue
		}
		u, err := readRecord(f.data)
		if err != nil {
			return false, err
		}
		in, err := s.belongs(u, shard)
		if err != nil {
			return false, err
		}
		belongs = belongs && in
	}
	return belongs, nil
}

// add adds a text of the message, which lies before rest.
func (t *table) add(message, rest, text []byte, limit int) error {
	if len(t.at) >= limit {
		return errTooMany
	}
	if !utf8.Valid(text) {
		return errNoUTF8
	}
	to := uint32(len(message) - len(rest)) //nolint:gosec // Records have at most 10 MiB.
	t.at = append(t.at, span{to - uint32(len(text)), to})
	t.outside = append(t.outside, unknown)
	return nil
}

// belongs reports whether the hash of a user record lies in the range. A hash
// is made once for each key of the tables.
func (s *Splitter) belongs(u userRecord, shard streams.HashRange) (bool, error) {
	if u.key >= uint64(len(s.keys.at)) {
		return false, fmt.Errorf("partition key %d: %w", u.key, errIndex)
	}
	t, i := &s.keys, u.key
	if u.hasExplicit {
		if u.explicit >= uint64(len(s.explicit.at)) {
			return false, fmt.Errorf("explicit hash key %d: %w", u.explicit, errIndex)
		}
		t, i = &s.explicit, u.explicit
	}
	if t.outside[i] == unknown {
		text := t.text(s.message, i)
		view := unsafe.String(unsafe.SliceData(text), len(text)) // not kept
		var hash streams.HashKey
		if u.hasExplicit {
			var err error
			if hash, err = streams.ParseHashKey(view); err != nil {
				return false, fmt.Errorf("explicit hash key %d: %w", i, err)
			}
		} else {
			hash = streams.HashOf(view)
		}
		t.outside[i] = inside
		if !shard.Contains(hash) {
			t.outside[i] = outside
		}
	}
	return t.outside[i] == inside, nil
}
