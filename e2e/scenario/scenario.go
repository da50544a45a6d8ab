// Package scenario is what every client of the conformance tests does, in
// numbers and bytes: the names of the steps, the records, and the digest by
// which a client in any language shows that it read what was put. Drivers in
// other languages repeat [RecordAt] and [Digest]; e2e/README.md has them in words.
package scenario

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/big"
	"slices"
)

// Steps are the steps of the scenario in their order.
func Steps() []string {
	return []string{
		"create", "put", "iterators", "split", "merge", "update_count", "drain", "fanout", "throttle", "tags", "delete",
	}
}

// Span is the records from number From up to, and without, number To.
type Span struct{ From, To int }

// What each step puts. All but Live and Renewed are there to drain.
var (
	Put         = Span{0, 500}   // step put
	Latest      = Span{500, 510} // step iterators, behind an iterator of type LATEST
	AfterSplit  = Span{510, 610} // step split, to the children
	AfterMerge  = Span{610, 710} // step merge, to the merged shard and its neighbour
	AfterUpdate = Span{710, 810} // step update_count, to the four shards
	Drained     = Span{0, 810}   // step drain
	Live        = Span{810, 830} // step fanout, to one shard while it is subscribed to
	Renewed     = Span{830, 840} // step fanout, while nobody subscribes
)

// Record is what a client puts.
type Record struct {
	PartitionKey    string
	ExplicitHashKey string // none if empty
	Data            []byte
}

// RecordAt is the record with a number, 0 or more. Number 0 has no data, number
// 1 has every byte once; the others have different data of up to a kibibyte.
// Each tenth has an explicit hash key, and a partition key of its own; the
// others share 45 partition keys of ASCII and other characters, and the
// records of such a key are in order when their numbers grow.
func RecordAt(n int) Record {
	r := Record{PartitionKey: fmt.Sprintf("key-%d-é中😀", n%50)}
	if n%10 == 9 {
		r.PartitionKey = fmt.Sprintf("hash-%d", n)
		r.ExplicitHashKey = new(big.Int).Lsh(big.NewInt(int64(n%500)), 119).String()
	}
	switch n {
	case 0:
		r.Data = []byte{}
	case 1:
		r.Data = make([]byte, 256)
		for i := range r.Data {
			r.Data[i] = byte(i)
		}
	default:
		r.Data = make([]byte, 4+n*37%1021)
		binary.BigEndian.PutUint32(r.Data, uint32(n))
		for i := 4; i < len(r.Data); i++ {
			r.Data[i] = byte(n*31 + i*7)
		}
	}
	return r
}

// Number is the number of a record with this data, -1 if there is none.
func Number(data []byte) int {
	n := 0
	switch {
	case len(data) == 0:
	case len(data) == 256 && bytes.HasPrefix(data, []byte{0, 1, 2, 3}):
		n = 1
	case len(data) >= 4:
		n = int(binary.BigEndian.Uint32(data) & 0xffffff)
	}
	if !bytes.Equal(RecordAt(n).Data, data) {
		return -1
	}
	return n
}

// Digest tells whether two sets of records are the same, whatever their order:
// SHA-256, in hexadecimal, of the sorted lines "SHA-256 of the partition key,
// SHA-256 of the data, newline".
func Digest(records []Record) string {
	lines := make([]string, 0, len(records))
	for _, r := range records {
		key, data := sha256.Sum256([]byte(r.PartitionKey)), sha256.Sum256(r.Data)
		lines = append(lines, hex.EncodeToString(key[:])+hex.EncodeToString(data[:])+"\n")
	}
	slices.Sort(lines)
	h := sha256.New()
	for _, line := range lines {
		h.Write([]byte(line))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Records are the records of a span.
func (s Span) Records() []Record {
	records := make([]Record, 0, s.To-s.From)
	for n := s.From; n < s.To; n++ {
		records = append(records, RecordAt(n))
	}
	return records
}

// WantDetail is what the detail of a step must be, "" for anything.
func WantDetail(step string) string {
	switch step {
	case "put", "iterators":
		return Digest(Put.Records())
	case "drain":
		return Digest(Drained.Records())
	case "fanout":
		return Digest(Span{Live.From, Renewed.To}.Records())
	}
	return ""
}
