package streams

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"strconv"
	"strings"
	"time"
)

// Sequence is the place of a record in its shard. It starts at 1, grows by
// one with every record, is never taken from a clock and never used twice.
// Sequence 0 is the place before the first record.
type Sequence uint64

// MaxSequence is the largest place a shard can have; it stands for the end of
// a closed shard in its EndingSequenceNumber.
const MaxSequence Sequence = math.MaxInt64

// ShardID numbers the shards of a stream from 0 in the order they were made;
// it is never reused.
type ShardID uint32

// String renders the id as Kinesis does, for example "shardId-000000000007".
func (id ShardID) String() string { return fmt.Sprintf("shardId-%012d", uint32(id)) }

// ErrShardID means that a text is not the name of a shard.
var ErrShardID = errors.New("shard id is not of the form shardId-000000000000")

// ParseShardID reads "shardId-000000000007"; like Kinesis it accepts fewer
// digits and a bare number. The number is at most 2^31-1.
func ParseShardID(s string) (ShardID, error) {
	digits := strings.TrimPrefix(s, "shardId-")
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || strings.HasPrefix(digits, "+") {
		return 0, ErrShardID
	}
	return ShardID(n), nil
}

// SequenceNumber is what a client sees of a Sequence: the 186-bit number of
// Kinesis (version 2), rendered as 56 decimal digits. Its 47 hexadecimal
// digits are
//
//	2 | shard created, s (9) | shard & 15 (1) | sequence (16) | 00 | arrival, s (9) | shard (8) | 2
//
// so that numbers of one shard sort by sequence, and those of a child shard,
// made later, after those of its parents.
type SequenceNumber struct {
	ShardCreated int64 // seconds since 1970
	Shard        ShardID
	Sequence     Sequence
	Arrival      int64 // seconds since 1970
}

// ErrSequenceNumber means that a text is not a sequence number of this layout.
var ErrSequenceNumber = errors.New("sequence number is malformed")

const secondsMask = 1<<36 - 1

// NumberOf returns the sequence number of the record at seq of a shard.
func NumberOf(shardCreated time.Time, shard ShardID, seq Sequence, arrival time.Time) SequenceNumber {
	return SequenceNumber{ShardCreated: shardCreated.Unix(), Shard: shard, Sequence: seq, Arrival: arrival.Unix()}
}

// String renders n in decimal.
func (n SequenceNumber) String() string { return string(n.Append(nil)) }

// Append appends the decimal form to b.
func (n SequenceNumber) Append(b []byte) []byte {
	c := n.Counter()
	return c.Append(b)
}

// Counter returns the decimal form of n, to count on from.
func (n SequenceNumber) Counter() SequenceCounter {
	// The 47 hexadecimal digits as a number of three words, most significant
	// first: digits 0-14, 15-30 and 31-46.
	created, seq := uint64(n.ShardCreated)&secondsMask, uint64(n.Sequence)
	arrival, shard := uint64(n.Arrival)&secondsMask, uint64(n.Shard)
	// digits: 0 version | 1-9 created | 10 nibble | 11-26 sequence | 27-28 zero | 29-37 arrival | 38-45 shard | 46 version
	w0 := 2<<56 | created<<20 | (shard&15)<<16 | seq>>48
	w1 := seq<<16 | arrival>>28
	w2 := arrival<<36 | shard<<4 | 2
	// Divide by 10^19 twice: 56 digits are 18, 19 and 19. The number is below
	// 2^186, so the first word of either quotient is 0.
	q1, rest := bits.Div64(w0, w1, group)
	q2, low := bits.Div64(rest, w2, group)
	high, middle := bits.Div64(q1, q2, group)
	return SequenceCounter{high: high, middle: middle, low: low}
}

// ParseSequenceNumber reads the decimal form. It accepts any number of the
// layout, whether or not a record has it.
func ParseSequenceNumber(s string) (SequenceNumber, error) {
	if len(s) != numberDigits {
		return SequenceNumber{}, ErrSequenceNumber
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return SequenceNumber{}, ErrSequenceNumber
		}
	}
	b, ok := new(big.Int).SetString(s, 10)
	if !ok || b.BitLen() != 186 {
		return SequenceNumber{}, ErrSequenceNumber
	}
	h := b.Text(16)
	if len(h) != 47 || h[0] != '2' || h[46] != '2' {
		return SequenceNumber{}, ErrSequenceNumber
	}
	field := func(from, to int) uint64 {
		v, _ := strconv.ParseUint(h[from:to], 16, 64) // hex digits by construction
		return v
	}
	n := SequenceNumber{
		ShardCreated: int64(field(1, 10)),
		Sequence:     Sequence(field(11, 27)),
		Arrival:      int64(field(29, 38)),
		Shard:        ShardID(field(38, 46)),
	}
	if h[27:29] != "00" || uint32(n.Shard)&15 != uint32(field(10, 11)) || n.Sequence > MaxSequence {
		return SequenceNumber{}, ErrSequenceNumber
	}
	return n, nil
}
