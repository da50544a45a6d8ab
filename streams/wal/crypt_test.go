package wal

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/enginetest"
)

func testSecret(n byte) []byte { return bytes.Repeat([]byte{'K', n, 0xe1}, 11)[:KeyBytes] }

// testKey is one of a few fixed master keys.
func testKey(n byte) *Key {
	k, err := NewKey(testSecret(n))
	if err != nil {
		panic(err)
	}
	return k
}

// TestEngineEncrypted runs the suite with encryption, and with every limit low.
func TestEngineEncrypted(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		o := small(vfs.OS())
		o.CheckpointInterval = time.Millisecond
		o.IndexBytes = 4 << 10
		o.Keys.Current = testKey(1)
		return newStore(t, o)
	})
}

func TestNewKey(t *testing.T) {
	for _, tt := range []struct {
		name   string
		secret []byte
		want   string
	}{
		{"good", testSecret(1), ""},
		{"none", nil, "key has 0 bytes; a master key has 32 random bytes"},
		{"short", make([]byte, 31), "key has 31 bytes; a master key has 32 random bytes"},
		{"long", make([]byte, 64), "key has 64 bytes; a master key has 32 random bytes"},
		{"zeros", make([]byte, 32), "key is all zeros; a master key has 32 random bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewKey(tt.secret)
			if got := fmt.Sprint(err); (tt.want == "") != (err == nil) || (err != nil && got != tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if again := testKey(1).ID(); testKey(1).ID() != again || again == testKey(2).ID() {
		t.Error("the id is not that of the key")
	}
}

// TestKeyNeverPrints prints keys in every way.
func TestKeyNeverPrints(t *testing.T) {
	k := testKey(1)
	secret := testSecret(1)
	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	log.Info("m", "key", k, "keys", Keys{Current: k}, "any", *k)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d", "%X"} {
		fmt.Fprintf(&out, verb, k)
		fmt.Fprintf(&out, verb, *k)
		fmt.Fprintf(&out, verb, Keys{Current: k, Old: []*Key{k}})
	}
	for _, bad := range []string{
		string(secret[:6]), hex.EncodeToString(secret[:4]), strings.ToUpper(hex.EncodeToString(secret[:4])),
		base64.StdEncoding.EncodeToString(secret[:6]), fmt.Sprint(secret[:4])[1:10],
	} {
		if bytes.Contains(out.Bytes(), []byte(bad)) {
			t.Errorf("the secret shows: %s", out.String())
		}
	}
}

// plainFrame is a records frame as memory has it.
func plainFrame(body []byte) []byte {
	b := make([]byte, headerBytes+pad8(len(body)))
	copy(b[headerBytes:], body)
	h := header{kind: kindRecords, length: uint32(len(body)), bodyCRC: checksum(7, body), seq: 5, time: 6, stream: 1, shard: 2, count: 3} //nolint:gosec // Small.
	h.put(b, 7)
	return b
}

func testDataKey(t testing.TB, n byte, p scope) *dataKey {
	t.Helper()
	k, err := newKeyring([16]byte{1}, Keys{Current: testKey(n)}).at(p, testKey(n).ID(), "x")
	must(t, err)
	return k
}

func TestEncryptFrame(t *testing.T) {
	k := testDataKey(t, 1, inSegment(1, 2, 3))
	for _, size := range []int{0, 1, 7, 8, 9, 100, 4096, 256 << 10} {
		body := bytes.Repeat([]byte("secret body "), size/12+1)[:size]
		plain := plainFrame(body)
		enc := make([]byte, encryptedSize(size))
		k.encrypt(enc, plain, 7)
		h, ok := parseHeader(enc, 7)
		if !ok || !h.encrypted || h.kind != kindRecords || h.seq != 5 || h.time != 6 || h.stream != 1 || h.shard != 2 || h.count != 3 ||
			h.size() != len(enc) || !bodyOK(enc, h, 7) {
			t.Fatalf("%d bytes: header %+v", size, h)
		}
		if size > 12 && bytes.Contains(enc, body[:12]) {
			t.Fatalf("%d bytes: the body shows", size)
		}
		again := make([]byte, len(enc))
		k.encrypt(again, plain, 7)
		if bytes.Equal(enc[headerBytes:headerBytes+12], again[headerBytes:headerBytes+12]) {
			t.Fatal("two frames have the same nonce")
		}
		got, ok := k.decrypt(slices.Clone(enc))
		if !ok {
			t.Fatalf("%d bytes: does not decrypt", size)
		}
		if rehash(got, 7); !bytes.Equal(got, plain) {
			t.Fatalf("%d bytes: decrypted to something else", size)
		}
		for name, other := range map[string]*dataKey{
			"another master key": testDataKey(t, 2, inSegment(1, 2, 3)),
			"another stream":     testDataKey(t, 1, inSegment(2, 2, 3)),
			"another shard":      testDataKey(t, 1, inSegment(1, 3, 3)),
			"another segment":    testDataKey(t, 1, inSegment(1, 2, 4)),
			"the journal":        testDataKey(t, 1, inJournal(1)),
			"a snapshot":         testDataKey(t, 1, inSnapshot(1)),
		} {
			if _, ok := other.decrypt(slices.Clone(enc)); ok {
				t.Errorf("the key of %s decrypts it", name)
			}
		}
	}
}

// TestAlteredFrame alters every byte of an encrypted frame but the two
// checksums, which whoever alters it would make right.
func TestAlteredFrame(t *testing.T) {
	k := testDataKey(t, 1, inJournal(9))
	body := []byte("body of some length")
	enc := make([]byte, encryptedSize(len(body)))
	k.encrypt(enc, plainFrame(body), 7)
	for i := range headerBytes + len(body) + encryptionBytes {
		if i >= 8 && i < 16 {
			continue
		}
		bad := slices.Clone(enc)
		bad[i] ^= 0x10
		if _, ok := k.decrypt(bad); ok {
			t.Errorf("byte %d may be altered", i)
		}
	}
}

func FuzzDecryptFrame(f *testing.F) {
	k := testDataKey(f, 1, inJournal(9))
	enc := make([]byte, encryptedSize(5))
	k.encrypt(enc, plainFrame([]byte("abcde")), 7)
	f.Add(enc)
	f.Add(enc[:headerBytes])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerBytes {
			return
		}
		if _, ok := k.decrypt(slices.Clone(b)); ok && !bytes.Equal(b[16:headerBytes], enc[16:headerBytes]) {
			t.Errorf("decrypted %x", b)
		}
	})
}

func FuzzEncryptedSnapshot(f *testing.F) {
	keys := newKeyring([16]byte{1}, Keys{Current: testKey(1)})
	b, err := (&snapshot{Format: 1, Log: "x", Number: 1, Streams: []snapStream{{ID: 1, Name: "s"}}}).encode(0, keys)
	must(f, err)
	f.Add(b[:len(b)-snapshotTail])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := fmt.Appendf(slices.Clone(body), "crc32c %08x\n", checksum(0, body))
		if n, err := decodeSnapshot(b, 0, keys); err == nil && n == nil {
			t.Error("neither a snapshot nor an error")
		}
	})
}

// words is what must not show in any file.
var words = []string{"wordsInData", "wordsInKeys", "wordsInState", "wordsAsValue", "wordsAsStream"}

// writeWords fills a log with words, in segments, journal and snapshot.
func writeWords(t *testing.T, l *Log, round int) {
	t.Helper()
	name := fmt.Sprintf("wordsAsStream-%d", round)
	create(t, l, name, 2)
	for i := range 20 {
		b := &streams.Batch{State: []streams.StateUpdate{{Key: fmt.Sprintf("wordsInState-%d", i), Value: []byte("wordsAsValue")}}}
		for k := range 5 {
			data := fmt.Sprintf("wordsInData-%d-%d-%d %s", round, i, k, strings.Repeat("wordsInData ", 20))
			b.Records = append(b.Records, streams.NewRecord{PartitionKey: fmt.Sprintf("wordsInKeys-%d", k), Data: []byte(data)})
		}
		_, err := l.Append(t.Context(), name, b)
		must(t, err)
		if i == 10 {
			must(t, l.checkpoint())
		}
	}
	must(t, l.Reshard(t.Context(), name, 3))
}

// checkWords reads everything that writeWords wrote.
func checkWords(t *testing.T, l *Log, round int) {
	t.Helper()
	name := fmt.Sprintf("wordsAsStream-%d", round)
	info, err := l.Describe(name)
	must(t, err)
	n := 0
	for _, s := range info.Shards {
		recs, err := readShard(t, l, name, s.ID)
		must(t, err)
		for _, r := range recs {
			if !strings.HasPrefix(string(r.Data), fmt.Sprintf("wordsInData-%d-", round)) || !strings.HasPrefix(r.PartitionKey, "wordsInKeys-") {
				t.Fatalf("record %.40q with key %q", r.Data, r.PartitionKey)
			}
		}
		n += len(recs)
	}
	if n != 100 {
		t.Errorf("%d records of round %d, want 100", n, round)
	}
	if got := string(l.State("wordsInState-19")); got != "wordsAsValue" {
		t.Errorf("state %q", got)
	}
}

// shows names the files that hold one of the words, as they are or in base64.
func shows(t *testing.T, fsys vfs.FS, dir string) (out []string) {
	t.Helper()
	for _, path := range allFiles(t, fsys, dir) {
		b, err := readFile(fsys, path, 1<<30)
		if errors.Is(err, os.ErrNotExist) {
			continue // a checkpoint took it away meanwhile
		}
		must(t, err)
		for _, w := range words {
			found := bytes.Contains(b, []byte(w))
			for skip := range 3 { // however base64 cuts it
				found = found || bytes.Contains(b, []byte(base64.StdEncoding.EncodeToString([]byte(w[skip:]))[:8]))
			}
			if found {
				out = append(out, fmt.Sprintf("%s shows %q", path, w))
			}
		}
	}
	return out
}

func encryptedOptions(fsys vfs.FS, keys Keys) Options {
	o := small(fsys)
	o.Keys = keys
	return o
}

// TestNothingShows looks for what was written in all files of an encrypted log,
// while it is used and after it was closed, and finds it in one that is not.
func TestNothingShows(t *testing.T) {
	for _, tt := range []struct {
		name string
		keys Keys
		want bool
	}{
		{"plain", Keys{}, true},
		{"encrypted", Keys{Current: testKey(1)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fsys := memfs.New()
			l := open(t, "/data", encryptedOptions(fsys, tt.keys))
			writeWords(t, l, 1)
			if got := shows(t, fsys, "/data"); (len(got) > 0) != tt.want {
				t.Errorf("in use: %v", got)
			}
			must(t, l.Close())
			if got := shows(t, fsys, "/data"); (len(got) > 0) != tt.want {
				t.Errorf("closed: %v", got)
			}
			l = open(t, "/data", encryptedOptions(fsys, tt.keys))
			checkWords(t, l, 1)
			must(t, l.Close())
		})
	}
}

// TestKeyRotation changes the key with every start, cleanly and after a crash,
// and turns encryption on and off.
func TestKeyRotation(t *testing.T) {
	k := []*Key{testKey(1), testKey(2), testKey(3)}
	for _, clean := range []bool{true, false} {
		t.Run(fmt.Sprintf("clean=%v", clean), func(t *testing.T) {
			fsys := memfs.New()
			for round, keys := range []Keys{
				{},
				{Current: k[0]},
				{Current: k[1], Old: k[:1]},
				{Old: k[:2]},
				{Current: k[2], Old: k[:2]},
				{Current: k[0], Old: k}, // back to one of before
			} {
				l := open(t, "/data", encryptedOptions(fsys, keys))
				for r := range round {
					checkWords(t, l, r)
				}
				writeWords(t, l, round)
				for r := range round + 1 {
					checkWords(t, l, r)
				}
				var copied *memfs.FS
				if !clean {
					copied = fsys.Crash(rand.New(rand.NewPCG(uint64(round), 1))) //nolint:gosec // Small.
				}
				must(t, l.Close())
				if !clean {
					fsys = copied
				}
			}
			l := open(t, "/data", encryptedOptions(fsys, Keys{Old: k}))
			for r := range 6 {
				checkWords(t, l, r)
			}
			must(t, l.Close())
		})
	}
}

// TestOldKeyCanGo ends the use of a key: once retention has taken the files
// that need it and a checkpoint the journal, the log opens without it.
func TestOldKeyCanGo(t *testing.T) {
	dir := tempDir(t)
	s := &store{dir: dir, opt: small(vfs.OS()), start: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	k1, k2 := testKey(1), testKey(2)
	openWith := func(keys Keys) (*Log, error) {
		o := s.opt
		o.Clock, o.Keys = s.Now, keys
		return Open(dir, o)
	}
	l, err := openWith(Keys{Current: k1})
	must(t, err)
	_, err = l.Create(t.Context(), streams.StreamSpec{Name: "s", Shards: 1, Retention: time.Hour})
	must(t, err)
	appendAll(t, l, "s", "a", "b")
	must(t, l.Close())
	l, err = openWith(Keys{Current: k2, Old: []*Key{k1}})
	must(t, err)
	appendAll(t, l, "s", "c")
	must(t, l.Close())
	if _, err := openWith(Keys{Current: k2}); !errors.Is(err, ErrKey) {
		t.Fatalf("got %v, want ErrKey", err)
	}
	s.Advance(2 * time.Hour)
	l, err = openWith(Keys{Current: k2, Old: []*Key{k1}})
	must(t, err)
	appendAll(t, l, "s", "d")
	must(t, l.checkpoint())
	l.retain()
	must(t, l.checkpoint())
	must(t, l.Close())
	l, err = openWith(Keys{Current: k2})
	must(t, err)
	got, err := readShard(t, l, "s", 0)
	must(t, err)
	wantTexts(t, got, "d")
	must(t, l.Close())
}

// TestMissingKey opens encrypted logs without a key that they need. It names
// the key and a file, and nothing changes.
func TestMissingKey(t *testing.T) {
	k1, k2 := testKey(1), testKey(2)
	write := func(fsys *memfs.FS, keys Keys, clean bool, round int) *memfs.FS {
		l := open(t, "/data", encryptedOptions(fsys, keys))
		for range 2 { // so that nothing but segments is of the key before, however late the log's own come
			must(t, l.checkpoint())
		}
		writeWords(t, l, round)
		out := copyFS(t, fsys, "/data")
		must(t, l.Close())
		if clean {
			out = copyFS(t, fsys, "/data")
		}
		return out
	}
	for _, clean := range []bool{true, false} {
		encrypted := write(memfs.New(), Keys{Current: k1}, clean, 1)
		rotated := write(copyFS(t, encrypted, "/data"), Keys{Current: k2, Old: []*Key{k1}}, clean, 2)
		off := write(copyFS(t, encrypted, "/data"), Keys{Old: []*Key{k1}}, true, 2)
		for _, tt := range []struct {
			name string
			fs   *memfs.FS
			keys Keys
			want []string
		}{
			{"no key", encrypted, Keys{}, []string{"snapshot-", k1.ID().String(), "no key is configured", "Nothing was changed"}},
			{"wrong key", encrypted, Keys{Current: k2}, []string{k1.ID().String(), "the configured key is " + k2.ID().String()}},
			{"wrong old key", encrypted, Keys{Old: []*Key{k2, testKey(3)}}, []string{k1.ID().String(), "the configured keys are "}},
			{"without the old one", rotated, Keys{Current: k2}, []string{"/shards/", k1.ID().String(), "-k" + k1.ID().String()}},
			{"without the new one", rotated, Keys{Current: k1}, []string{"snapshot-", k2.ID().String()}},
			{"none after it is off", off, Keys{}, []string{"/shards/", k1.ID().String(), "no key is configured"}},
		} {
			t.Run(fmt.Sprintf("%s/clean=%v", tt.name, clean), func(t *testing.T) {
				fsys := copyFS(t, tt.fs, "/data")
				before := contents(t, fsys)
				_, err := Open("/data", encryptedOptions(fsys, tt.keys))
				if !errors.Is(err, ErrKey) {
					t.Fatalf("got %v, want ErrKey", err)
				}
				for _, want := range tt.want {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("%q does not say %q", err, want)
					}
				}
				sameContents(t, contents(t, fsys), before)
			})
		}
	}
}

// TestMissingJournalKey needs a key for the journal alone, and that of the group
// that a start wrote again.
func TestMissingJournalKey(t *testing.T) {
	k1, k2 := testKey(1), testKey(2)
	o := encryptedOptions(memfs.New(), Keys{})
	o.CheckpointBytes, o.TailBytes = 1<<30, 1<<30
	l := open(t, "/data", o) // the snapshot is not encrypted
	fsys := copyFS(t, o.FS, "/data")
	must(t, l.Close())
	o.FS, o.Keys.Current = fsys, k1
	l = open(t, "/data", o)
	create(t, l, "s", 1)
	appendAll(t, l, "s", "a")
	crashed := copyFS(t, fsys, "/data")
	must(t, l.Close())

	before := contents(t, crashed)
	_, err := Open("/data", encryptedOptions(crashed, Keys{Current: k2}))
	if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "/journal/") || !strings.Contains(err.Error(), k1.ID().String()) {
		t.Fatalf("got %v", err)
	}
	sameContents(t, contents(t, crashed), before)
	// A file of the new key begins with a group of the old one.
	o.FS, o.Keys = errfs.New(crashed, func(op errfs.Op) error {
		if strings.Contains(op.Path, "/"+metaDir+"/") && op.Kind.Changes() {
			return syscall.ENOSPC // no checkpoint makes the group superfluous
		}
		return nil
	}), Keys{Current: k2, Old: []*Key{k1}}
	l = open(t, "/data", o)
	again := copyFS(t, crashed, "/data")
	if err := l.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("close: %v", err)
	}
	for _, path := range allFiles(t, again, "/data/journal") {
		b, err := readFile(again, path, 1<<30)
		must(t, err)
		if h, ok := parseFileHead(b, l.seed); ok && h.key == k1.ID() {
			must(t, again.Remove(path))
		}
	}
	if _, err := Open("/data", encryptedOptions(again, Keys{Current: k2})); !errors.Is(err, ErrKey) {
		t.Errorf("got %v, want ErrKey", err)
	}
}

// rewrite alters a frame of a file so that its checksums are right again, as
// somebody would who wants it to pass.
func rewrite(t *testing.T, fsys vfs.FS, path string, seed uint32, want func(h header) bool) bool {
	t.Helper()
	b, err := readFile(fsys, path, 1<<30)
	must(t, err)
	for off := 0; off+headerBytes < len(b); off += 8 {
		h, ok := parseHeader(b[off:], seed)
		if !ok || !h.encrypted || !want(h) {
			continue
		}
		body := b[off+headerBytes : off+headerBytes+int(h.length)]
		body[len(body)/2] ^= 1
		h.bodyCRC = checksum(seed, body)
		h.put(b[off:], seed)
		writeAll(t, fsys, path, b)
		return true
	}
	return false
}

// TestAlteredSegment alters a frame of a segment, with checksums that match:
// reads of its records name it, the others stay readable.
func TestAlteredSegment(t *testing.T) {
	fsys := memfs.New()
	o := encryptedOptions(fsys, Keys{Current: testKey(1)})
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	for i := range 3 {
		appendAll(t, l, "s", fmt.Sprint("r", i))
	}
	must(t, l.Close())
	done := false
	for _, path := range allFiles(t, fsys, "/data/shards") {
		done = done || rewrite(t, fsys, path, l.seed, func(h header) bool { return h.seq == 2 })
	}
	if !done {
		t.Fatal("the frame is not there")
	}
	l = open(t, "/data", o)
	got, err := readShard(t, l, "s", 0)
	wantTexts(t, got, "r0")
	var bad *streams.DamageError
	if !errors.As(err, &bad) || !strings.Contains(bad.Reason, "encrypted bytes were altered in records 2 to 2") {
		t.Fatalf("got %v", err)
	}
	p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s"}, streams.Position{Kind: streams.At, Seq: 3}, streams.Limit{})
	must(t, err)
	wantTexts(t, p.Records, "r2")
	must(t, l.Close())
}

// TestAlteredJournal alters a frame of the journal, with all checksums right:
// also in the last group, where it cannot be a torn tail, that is damage.
func TestAlteredJournal(t *testing.T) {
	for _, seq := range []uint64{2, 3} {
		t.Run(fmt.Sprint(seq), func(t *testing.T) {
			fsys := memfs.New()
			o := encryptedOptions(fsys, Keys{Current: testKey(1)})
			o.CheckpointBytes, o.TailBytes = 1<<30, 1<<30
			l := open(t, "/data", o)
			create(t, l, "s", 1)
			for i := range 3 {
				appendAll(t, l, "s", fmt.Sprint("r", i))
			}
			crashed := copyFS(t, fsys, "/data")
			must(t, l.Close())
			done := false
			for _, path := range allFiles(t, crashed, "/data/journal") {
				b, err := readFile(crashed, path, 1<<30)
				must(t, err)
				for off := block; off+block <= len(b) && !done; off += block {
					g, ok := parseGroup(b[off:], l.seed)
					h, _ := parseHeader(b[off+groupHead:], l.seed)
					if !ok || g.frames != 1 || h.kind != kindRecords || h.seq != seq {
						continue
					}
					body := b[off+groupHead+headerBytes:][:h.length]
					body[20] ^= 1
					h.bodyCRC = checksum(l.seed, body)
					h.put(b[off+groupHead:], l.seed)
					used := groupHead + h.size()
					y := layout{buf: append(make([]byte, block), b[off:off+int(g.total)]...), used: used}
					gh, _ := parseHeader(b[off:], l.seed)
					y.seal(&g, gh.time, l.seed)
					copy(b[off:], y.buf[block:])
					writeAll(t, crashed, path, b)
					done = true
				}
			}
			if !done {
				t.Fatal("the group is not there")
			}
			o.FS = crashed
			l = open(t, "/data", o)
			for i := uint64(1); i <= 3; i++ {
				p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s"}, streams.Position{Kind: streams.At, Seq: streams.Sequence(i)}, streams.Limit{Records: 1})
				if i == seq {
					var bad *streams.DamageError
					if !errors.As(err, &bad) {
						t.Errorf("record %d: got %v and %q, want a DamageError", i, err, texts(p.Records))
					}
					continue
				}
				must(t, err)
				wantTexts(t, p.Records, fmt.Sprint("r", i-1))
			}
			must(t, l.Close())
		})
	}
}

// TestDamagedJournalHeads damages the heads of a file and of a group, which name
// the key: the others, and the frames behind a damaged head, still decrypt.
func TestDamagedJournalHeads(t *testing.T) {
	for _, at := range []int{45, 2*block + headerBytes + 26, 3*block + headerBytes + 33} {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			fsys := memfs.New()
			o := encryptedOptions(fsys, Keys{Current: testKey(1)})
			o.CheckpointBytes, o.TailBytes = 1<<30, 1<<30
			l := open(t, "/data", o)
			create(t, l, "s", 1)
			for i := range 3 {
				appendAll(t, l, "s", fmt.Sprint("r", i))
			}
			crashed := copyFS(t, fsys, "/data")
			must(t, l.Close())
			done := false
			for _, path := range allFiles(t, crashed, "/data/journal") {
				b, err := readFile(crashed, path, 1<<30)
				must(t, err)
				if h, ok := parseFileHead(b, l.seed); !ok || h.generation == 0 {
					continue
				}
				b[at] ^= 1
				writeAll(t, crashed, path, b)
				done = true
			}
			if !done {
				t.Fatal("the file is not there")
			}
			o.FS, o.Keys.Old = crashed, []*Key{testKey(2), testKey(3)}
			l = open(t, "/data", o)
			got, err := readShard(t, l, "s", 0)
			wantTexts(t, got, "r0", "r1", "r2")
			must(t, err)
			must(t, l.Close())
		})
	}
}

// TestPlainJournalIsNotKept removes journal files with plain text when
// encryption is turned on, instead of using them again.
func TestPlainJournalIsNotKept(t *testing.T) {
	dir := tempDir(t)
	l := open(t, dir, encryptedOptions(vfs.OS(), Keys{}))
	writeWords(t, l, 1)
	must(t, l.Close())
	l = open(t, dir, encryptedOptions(vfs.OS(), Keys{Current: testKey(1)}))
	writeWords(t, l, 2)
	for range 3 {
		appendAll(t, l, "wordsAsStream-2", "x")
		must(t, l.checkpoint())
	}
	must(t, l.Close())
	for _, s := range shows(t, vfs.OS(), dir) {
		if !strings.Contains(s, string(os.PathSeparator)+shardsDir+string(os.PathSeparator)) && !strings.Contains(s, "/"+shardsDir+"/") {
			t.Error(s)
		}
	}
}

// TestDumpEncrypted shows an encrypted log with and without its key.
func TestDumpEncrypted(t *testing.T) {
	var out *memfs.FS
	synctest.Test(t, func(t *testing.T) {
		fsys := memfs.New()
		l := open(t, "/data", encryptedOptions(fsys, Keys{Current: testKey(1)}))
		writeWords(t, l, 1)
		synctest.Wait() // a journal file that is being made has no head yet
		out = copyFS(t, fsys, "/data")
		must(t, l.Close())
	})
	got := dump(t, out, "/data", DumpOptions{Records: true})
	for _, w := range words {
		if strings.Contains(got, w) {
			t.Errorf("%s shows without a key", w)
		}
	}
	for _, want := range []string{"key=" + testKey(1).ID().String(), "encrypted=true", "encrypted, and the key is not there"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q without a key", want)
		}
	}
	got = dump(t, out, "/data", DumpOptions{Records: true, Keys: Keys{Old: []*Key{testKey(1)}}})
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Errorf("no %s with the key", w)
		}
	}
	for line := range strings.Lines(got) {
		if strings.Contains(line, "error=") || strings.Contains(line, "checksum=bad") {
			t.Errorf("called damaged with the key: %s", line)
		}
	}
}

func TestSegmentNames(t *testing.T) {
	id := testKey(1).ID()
	for _, tt := range []struct {
		name string
		ok   bool
		key  KeyID
	}{
		{openName(1, 2, KeyID{}), true, KeyID{}},
		{openName(1, 2, id), true, id},
		{sealedName(1, 2, 3, 4, KeyID{}), true, KeyID{}},
		{sealedName(1, 2, 3, 4, id), true, id},
		{"00000001-0000000000000002-k.open", false, KeyID{}},
		{"00000001-0000000000000002-k00.open", false, KeyID{}},
		{"00000001-0000000000000002-k0000000000000000.open", false, KeyID{}},
		{"00000001-0000000000000002-k" + strings.ToUpper(id.String()) + ".open", false, KeyID{}},
		{"00000001-k" + id.String() + "-0000000000000002.open", false, KeyID{}},
		{"00000001-0000000000000002-k" + id.String() + "-k" + id.String() + ".open", false, KeyID{}},
	} {
		f, ok := parseSegmentName(tt.name)
		if ok != tt.ok || (ok && f.key != tt.key) {
			t.Errorf("%s: got %v with key %s", tt.name, ok, f.key)
		}
	}
	if p := (&segment{dir: "d", shard: 1, base: 2, key: id}).path(); p != filepath.Join("d", openName(1, 2, id)) {
		t.Error(p)
	}
}

// TestRepairEncrypted repairs an encrypted log with a damaged segment. What is
// left is read with the key, and nothing of it shows.
func TestRepairEncrypted(t *testing.T) {
	fsys := memfs.New()
	o := encryptedOptions(fsys, Keys{Current: testKey(1)})
	o.SegmentBytes = 4096
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	for i := range 40 {
		appendAll(t, l, "s", fmt.Sprintf("wordsInData-%d-%s", i, strings.Repeat("x", 200)))
	}
	must(t, l.Close())
	done := false
	for _, path := range allFiles(t, fsys, "/data/shards") {
		b, err := readFile(fsys, path, 1<<30)
		must(t, err)
		if strings.HasSuffix(path, ".seg") && !done {
			b[segmentHead+headerBytes+40] ^= 1 // in the body of its first frame
			writeAll(t, fsys, path, b)
			done = true
		}
	}
	if !done {
		t.Fatal("there is no sealed segment")
	}
	before := contents(t, fsys)
	if _, err := Repair(t.Context(), "/data", RepairOptions{Options: encryptedOptions(fsys, Keys{}), Apply: true}); !errors.Is(err, ErrKey) {
		t.Fatalf("without the key: got %v", err)
	}
	sameContents(t, contents(t, fsys), before)
	rep, err := Repair(t.Context(), "/data", RepairOptions{Options: o, Apply: true})
	must(t, err)
	if len(rep.Losses) != 1 || rep.Losses[0].Records != 1 {
		t.Fatalf("losses %+v, want one record", rep.Losses)
	}
	if got := shows(t, fsys, "/data"); len(got) > 0 {
		t.Error(got)
	}
	l = open(t, "/data", o)
	got, err := readShard(t, l, "s", 0)
	must(t, err)
	if len(got) != 39 || !strings.HasPrefix(string(got[0].Data), "wordsInData-1-") {
		t.Errorf("%d records, the first %.20q", len(got), got[0].Data)
	}
	must(t, l.Close())
}
