package aggregate

import (
	"bytes"
	"crypto/md5" //nolint:gosec // the format says so
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/streams"
)

var (
	seedFlag = flag.Uint64("seed", 0, "seed of random tests; 0 draws one")
	all      = streams.HashRange{End: streams.MaxHashKey}
	halves   = streams.UniformRanges(2)
)

// user is a user record as tests write it.
type user struct {
	key, explicit string
	data          string
	tags          []string
}

func varintField(b []byte, number int, v uint64) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|wireVarint)
	return binary.AppendUvarint(b, v)
}

func bytesField(b []byte, number int, v string) []byte {
	b = binary.AppendUvarint(b, uint64(number)<<3|wireBytes)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// encode is the producer's side of the format: each key once in its table.
func encode(users []user) []byte {
	var b []byte
	keys, explicit := map[string]uint64{}, map[string]uint64{}
	add := func(table map[string]uint64, number int, text string) {
		if _, ok := table[text]; !ok {
			table[text] = uint64(len(table))
			b = bytesField(b, number, text)
		}
	}
	for _, u := range users {
		add(keys, 1, u.key)
		if u.explicit != "" {
			add(explicit, 2, u.explicit)
		}
	}
	for _, u := range users {
		r := varintField(nil, 1, keys[u.key])
		if u.explicit != "" {
			r = varintField(r, 2, explicit[u.explicit])
		}
		r = bytesField(r, 3, u.data)
		for _, tag := range u.tags {
			r = bytesField(r, 4, string(bytesField(nil, 1, tag)))
		}
		b = bytesField(b, 3, string(r))
	}
	return seal(b)
}

// seal makes a stored record of a message.
func seal(message []byte) []byte {
	sum := md5.Sum(message) //nolint:gosec // see above
	return append(append([]byte(magic), message...), sum[:]...)
}

func read(s *Splitter) []user {
	var got []user
	for r := range s.Records() {
		if r.Sub != len(got) {
			panic(fmt.Sprintf("sub sequence number %d at %d", r.Sub, len(got)))
		}
		got = append(got, user{key: string(r.PartitionKey), explicit: string(r.ExplicitHashKey), data: string(r.Data)})
	}
	return got
}

// TestGolden compares with records of the real producer, and with what the real
// client library reads in them. testdata/golden.txt says where it is from.
func TestGolden(t *testing.T) {
	file, err := os.ReadFile("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	type golden struct {
		name  string
		shard streams.HashRange
		data  []byte
		plain bool
		users []user
	}
	unhex := func(text string) string {
		b, err := hex.DecodeString(strings.TrimPrefix(text, "-"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	hash := func(text string) streams.HashKey {
		h, err := streams.ParseHashKey(text)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	var records []golden
	for line := range strings.Lines(string(file)) {
		f := strings.Fields(line)
		switch {
		case f[0] == "#":
		case f[0] == "record":
			records = append(records, golden{name: f[1], shard: streams.HashRange{Start: hash(f[2]), End: hash(f[3])}, data: []byte(unhex(f[4]))})
		case f[0] == "plain":
			records[len(records)-1].plain = true
		default:
			r := &records[len(records)-1]
			if f[0] != fmt.Sprint(len(r.users)) {
				t.Fatalf("line %q", line)
			}
			r.users = append(r.users, user{key: unhex(f[1]), explicit: strings.TrimPrefix(f[2], "null"), data: unhex(f[3])})
		}
	}
	if len(records) != 11 {
		t.Fatalf("%d golden records", len(records))
	}
	var s Splitter
	for _, r := range records {
		t.Run(r.name, func(t *testing.T) {
			kind := s.Split(r.data, r.shard)
			if got := read(&s); (kind == Plain) != r.plain || !reflect.DeepEqual(got, r.users) || s.Len() != len(r.users) {
				t.Errorf("got %v %q (%v)\nwant plain %v %q", kind, got, s.Err(), r.plain, r.users)
			}
			if wrong := strings.Contains(r.name, "-in-") || strings.Contains(r.name, "-but-"); wrong != (kind == WrongShard) {
				t.Errorf("kind %v", kind)
			}
		})
	}
}

// TestRoundTrip splits what the encoder above makes of random user records.
func TestRoundTrip(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d: repeat with -seed=%d", seed, seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var s Splitter
	for range 300 {
		users := make([]user, rng.IntN(40))
		in := true
		shard := streams.UniformRanges(1 + rng.IntN(3))[0]
		for i := range users {
			u := user{key: strings.Repeat("ключ", rng.IntN(3)) + fmt.Sprint(rng.IntN(10))}
			hash := streams.HashOf(u.key)
			if rng.IntN(3) == 0 {
				hash = streams.HashKey{Hi: rng.Uint64() >> rng.IntN(64), Lo: rng.Uint64()}
				u.explicit = hash.String()
			}
			in = in && shard.Contains(hash)
			data := make([]byte, rng.IntN(300))
			for j := range data {
				data[j] = byte(rng.Uint32())
			}
			u.data = string(data)
			users[i] = u
		}
		stored := encode(users)
		want, kind := users, Aggregated
		switch {
		case !in:
			want, kind = nil, WrongShard
		case len(users) == 0:
			want, kind = nil, Plain // shorter than magic, digest and one byte
		}
		got := s.Split(stored, shard)
		if got != kind || s.Err() != nil {
			t.Fatalf("got %v, %v, want %v", got, s.Err(), kind)
		}
		if have := read(&s); len(have) != len(want) || len(want) > 0 && !reflect.DeepEqual(have, want) {
			t.Fatalf("got %q\nwant %q", have, want)
		}
	}
}

func TestPlain(t *testing.T) {
	one := encode([]user{{key: "k", data: "d"}})
	record := func(fields ...[]byte) []byte {
		return bytesField(bytesField(nil, 1, "k"), 3, string(bytes.Join(fields, nil)))
	}
	key, data := varintField(nil, 1, 0), bytesField(nil, 3, "d")
	for _, tt := range []struct {
		name string
		data []byte
		err  error // nil: it does not look like an aggregate
	}{
		{"empty", nil, nil},
		{"text", []byte("just a line that is long enough"), nil},
		{"magic alone", []byte(magic), nil},
		{"magic and a digest", seal(nil), nil},
		{"other magic", append([]byte("\xf3\x89\x9a\xc3"), one[4:]...), nil},
		{"message changed", append(bytes.Replace(one[:len(one)-16], []byte("k"), []byte("l"), 1), one[len(one)-16:]...), nil},
		{"digest changed", append(bytes.Clone(one[:len(one)-1]), one[len(one)-1]^1), nil},
		{"cut off", one[:len(one)-1], nil},
		{"no partition key", seal(record(data)), errRequired},
		{"no data", seal(record(key)), errRequired},
		{"tag without a key", seal(record(key, data, bytesField(nil, 4, ""))), errRequired},
		{"index of no key", seal(record(varintField(nil, 1, 1), data)), errIndex},
		{"huge index", seal(record(varintField(nil, 1, 1<<63), data)), errIndex},
		{"index of no explicit hash key", seal(record(key, varintField(nil, 2, 0), data)), errIndex},
		{"explicit hash key of no number", seal(bytesField(record(key, varintField(nil, 2, 0), data), 2, "x")), streams.ErrHashKey},
		{"explicit hash key too large", seal(bytesField(record(key, varintField(nil, 2, 0), data), 2, "340282366920938463463374607431768211456")), streams.ErrHashKey},
		{"key of no UTF-8", seal(bytesField(record(key, data), 1, "\xff")), errNoUTF8},
		{"length behind the end", seal([]byte{tagRecords, 5, 0}), errCutOff},
		{"huge length", seal([]byte{tagRecords, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}), errCutOff},
		{"length cut off", seal([]byte{tagRecords, 0x80}), errCutOff},
		{"long number", seal(bytes.Repeat([]byte{0x80}, 11)), errMalformed},
		{"field 0", seal([]byte{wireVarint, 0}), errMalformed},
		{"unknown wire type", seal([]byte{9<<3 | 6, 0}), errMalformed},
		{"end of no group", seal([]byte{9<<3 | wireEndGroup}), errMalformed},
		{"group of another number", seal([]byte{9<<3 | wireStartGroup, 8<<3 | wireEndGroup}), errMalformed},
		{"open group", seal([]byte{9<<3 | wireStartGroup}), errCutOff},
		{"deep groups", seal(bytes.Repeat([]byte{9<<3 | wireStartGroup}, 101)), errMalformed},
		{"fixed64 cut off", seal([]byte{9<<3 | wireFixed64, 1, 2, 3, 4, 5, 6, 7}), errCutOff},
		{"fixed32 cut off", seal([]byte{9<<3 | wireFixed32, 1, 2, 3}), errCutOff},
		{"record of another type", seal(bytesField(varintField(nil, 1, 0), 3, "\x0a\x00")), errRequired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Splitter
			if kind := s.Split(tt.data, all); kind != Plain || s.Len() != 0 || len(read(&s)) != 0 {
				t.Errorf("kind %v, %d records", kind, s.Len())
			}
			if !errors.Is(s.Err(), tt.err) || (s.Err() == nil) != (tt.err == nil) {
				t.Errorf("error %v, want %v", s.Err(), tt.err)
			}
		})
	}
}

// TestUnusualMessages: what the library of protocol buffers reads is read, also
// where no producer writes it that way.
func TestUnusualMessages(t *testing.T) {
	record := string(bytesField(varintField(nil, 1, 0), 3, "d"))
	deep := append(bytes.Repeat([]byte{9<<3 | wireStartGroup}, 100), bytes.Repeat([]byte{9<<3 | wireEndGroup}, 100)...)
	for _, tt := range []struct {
		name    string
		message []byte
	}{
		{"record before its key", bytesField(bytesField(nil, 3, record), 1, "k")},
		{"unknown fields", append(bytesField(bytesField(varintField(nil, 15, 7), 1, "k"), 3, record), 9<<3|wireFixed32, 1, 2, 3, 4, 9<<3|wireFixed64, 1, 2, 3, 4, 5, 6, 7, 8)},
		{"unknown group", append(bytesField(bytesField(nil, 1, "k"), 3, record), 9<<3|wireStartGroup, 1<<3|wireVarint, 5, 9<<3|wireEndGroup)},
		{"nested groups", append(bytesField(bytesField(nil, 1, "k"), 3, record), deep...)},
		{"known number, another type", bytesField(bytesField(varintField(nil, 1, 3), 1, "k"), 3, record)},
		{"fields twice", bytesField(bytesField(nil, 1, "k"), 3, string(varintField(bytesField(bytesField(varintField(nil, 1, 9), 3, "x"), 3, "d"), 1, 0)))},
		{"number in too many bytes", bytesField(bytesField(nil, 1, "k"), 3, string(bytesField([]byte{tagKeyIndex, 0x80, 0x80, 0}, 3, "d")))},
		{"tags", bytesField(bytesField(nil, 1, "k"), 3, record+string(bytesField(nil, 4, string(bytesField(bytesField(nil, 1, "t"), 2, "v")))))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Splitter
			if kind := s.Split(seal(tt.message), all); kind != Aggregated {
				t.Fatalf("%v: %v", kind, s.Err())
			}
			if got, want := read(&s), []user{{key: "k", data: "d"}}; !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestHashRange(t *testing.T) {
	last := halves[0].End.String()
	for _, tt := range []struct {
		name  string
		users []user
		shard streams.HashRange
		want  Kind
	}{
		{"explicit hash key at the end", []user{{"k", last, "d", nil}}, halves[0], Aggregated},
		{"explicit hash key behind the end", []user{{"k", last, "d", nil}, {"k", halves[1].Start.String(), "d", nil}}, halves[0], WrongShard},
		{"explicit hash key before the start", []user{{"k", last, "d", nil}}, halves[1], WrongShard},
		{"explicit hash key counts, not the partition key", []user{{"key 0", halves[1].Start.String(), "d", nil}}, halves[1], Aggregated},
		{"partition key inside", []user{{"key 0", "", "d", nil}}, halves[0], Aggregated}, // 0e7fc991...
		{"partition key outside", []user{{"é0", "", "d", nil}, {"key 0", "", "d", nil}}, halves[1], WrongShard},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s Splitter
			if got := s.Split(encode(tt.users), tt.shard); got != tt.want || s.Err() != nil {
				t.Errorf("got %v, %v, want %v", got, s.Err(), tt.want)
			}
			if n := s.Len(); (n == 0) != (tt.want == WrongShard) || n != len(read(&s)) {
				t.Errorf("%d records", n)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	three := encode([]user{{key: "a"}, {key: "a"}, {key: "a"}})
	keys := seal(bytesField(bytesField(bytesField(nil, 1, "a"), 1, "b"), 1, "c"))
	explicit := seal(bytesField(bytesField(bytesField(nil, 2, "1"), 2, "2"), 2, "3"))
	for _, data := range [][]byte{three, keys, explicit} {
		s := Splitter{MaxRecords: 2}
		if kind := s.Split(data, all); kind != Plain || !errors.Is(s.Err(), errTooMany) {
			t.Errorf("over the limit: %v, %v", kind, s.Err())
		}
		s.MaxRecords = 3
		if kind := s.Split(data, all); kind != Aggregated || s.Err() != nil {
			t.Errorf("at the limit: %v, %v", kind, s.Err())
		}
	}
}

// TestNoCopies: the bytes of user records are those of the stored record and
// cannot be appended to over what follows.
func TestNoCopies(t *testing.T) {
	stored := encode([]user{{key: "key", explicit: "7", data: "data"}})
	var s Splitter
	if kind := s.Split(stored, all); kind != Aggregated {
		t.Fatal(kind, s.Err())
	}
	before := bytes.Clone(stored)
	for r := range s.Records() {
		for _, part := range [][]byte{r.PartitionKey, r.ExplicitHashKey, r.Data} {
			_ = append(part, "overwritten"...)
		}
	}
	if !bytes.Equal(stored, before) {
		t.Error("user records share room behind their ends")
	}
	for r := range s.Records() {
		r.Data[0] = 'D'
	}
	if !bytes.Contains(stored, []byte("Data")) {
		t.Error("data were copied")
	}
	allocs := testing.AllocsPerRun(100, func() {
		s.Split(stored, all)
		for range s.Records() {
		}
	})
	if allocs > 0 {
		t.Errorf("%v allocations for a record", allocs)
	}
}

// TestMemory: the largest record, full of keys, takes memory in proportion to
// the limit, and gives it back.
func TestMemory(t *testing.T) {
	message := bytes.Repeat(bytesField(nil, 1, ""), 5<<20)
	stored := seal(message)
	s := Splitter{MaxRecords: 1 << 16}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if kind := s.Split(stored, all); kind != Plain || !errors.Is(s.Err(), errTooMany) {
		t.Fatalf("%v, %v", kind, s.Err())
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 4<<20 {
		t.Errorf("%d bytes of memory for 65,536 keys", took)
	}
	s.Split(nil, all)
	if cap(s.keys.at) > keepKeys {
		t.Errorf("memory for %d keys is kept", cap(s.keys.at))
	}
}

func TestKinds(t *testing.T) {
	for k, want := range map[Kind]string{Plain: "plain", Aggregated: "aggregated", WrongShard: "wrong shard", 9: "kind 9"} {
		if got := k.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// FuzzSplit splits arbitrary messages: what is taken apart is made of bytes of
// the message and comes out the same when it is put together again.
func FuzzSplit(f *testing.F) {
	for _, users := range [][]user{
		nil, {{key: "k", data: "d"}}, {{key: "k", explicit: "0", data: ""}, {key: "l", data: "dd", tags: []string{"t"}}, {key: "k", data: "x"}},
	} {
		stored := encode(users)
		f.Add(stored[4 : len(stored)-16])
	}
	f.Add([]byte{9<<3 | wireStartGroup, 1 << 3, 5, 9<<3 | wireEndGroup})
	f.Fuzz(func(t *testing.T, message []byte) {
		stored := seal(message)
		s, again := Splitter{MaxRecords: 1000}, Splitter{}
		for _, shard := range []streams.HashRange{halves[0], halves[1], all} {
			kind := s.Split(stored, shard)
			users := read(&s)
			if len(users) != s.Len() || kind != Aggregated && len(users) > 0 {
				t.Fatalf("%v with %d of %d records", kind, len(users), s.Len())
			}
			if kind != Aggregated || len(users) == 0 {
				continue
			}
			if got := again.Split(encode(users), shard); got != Aggregated || !reflect.DeepEqual(read(&again), users) {
				t.Fatalf("put together again: %v, %v", got, again.Err())
			}
		}
	})
}

// BenchmarkSplit splits an aggregate of the producer's default size.
func BenchmarkSplit(b *testing.B) {
	var users []user
	for i := range 200 {
		users = append(users, user{key: fmt.Sprint("key ", i%50), data: strings.Repeat("x", 240)})
	}
	stored := encode(users)
	var s Splitter
	b.SetBytes(int64(len(stored)))
	b.ReportAllocs()
	for b.Loop() {
		if s.Split(stored, all) != Aggregated {
			b.Fatal(s.Err())
		}
		for range s.Records() {
		}
	}
}
