package wal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
)

// copyFS copies the files of a log, which may be in use if they are in memory.
func copyFS(t *testing.T, from vfs.FS, dir string) *memfs.FS {
	t.Helper()
	if m, ok := from.(*memfs.FS); ok {
		return m.Kill()
	}
	to := memfs.New()
	var walk func(dir string)
	walk = func(dir string) {
		must(t, to.MkdirAll(dir, 0o700))
		list, err := from.ReadDir(dir)
		must(t, err)
		for _, e := range list {
			path := dir + "/" + e.Name()
			if e.IsDir() {
				walk(path)
				continue
			}
			b, err := readFile(from, path, 1<<30)
			must(t, err)
			writeAll(t, to, path, b)
		}
	}
	walk(dir)
	return to
}

func writeAll(t *testing.T, fsys vfs.FS, path string, b []byte) {
	t.Helper()
	f, err := fsys.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	must(t, err)
	_, err = f.WriteAt(b, 0)
	must(t, err)
	must(t, f.Close())
}

func allFiles(t *testing.T, fsys vfs.FS, dir string) (out []string) {
	t.Helper()
	list, err := fsys.ReadDir(dir)
	must(t, err)
	for _, e := range list {
		if e.IsDir() {
			out = append(out, allFiles(t, fsys, dir+"/"+e.Name())...)
		} else {
			out = append(out, dir+"/"+e.Name())
		}
	}
	return out
}

// damagedLog is a log with sealed and open segments, and two shards with
// records that are in the journal only.
func damagedLog(t *testing.T) (*memfs.FS, map[streams.ShardID][]string) {
	t.Helper()
	return damagedLogWith(t, func(o Options) Options { return o })
}

func damagedLogWith(t *testing.T, change func(Options) Options) (*memfs.FS, map[streams.ShardID][]string) {
	t.Helper()
	fsys := memfs.New()
	o := change(small(fsys))
	o.SegmentBytes, o.CheckpointBytes, o.TailBytes = 4096, 1<<30, 1<<30
	l := open(t, "/data", o)
	create(t, l, "s", 2)
	want := map[streams.ShardID][]string{}
	put := func(i int) {
		var b streams.Batch
		for k := range 2 {
			d := fmt.Sprintf("%d-%d-%s", i, k, strings.Repeat("y", 400))
			b.Records = append(b.Records, streams.NewRecord{Explicit: true, HashKey: streams.HashKey{Hi: uint64(k) << 63}, Data: []byte(d)})
			want[streams.ShardID(k)] = append(want[streams.ShardID(k)], d)
		}
		b.State = []streams.StateUpdate{{Key: "n", Value: fmt.Append(nil, i)}}
		_, err := l.Append(t.Context(), "s", &b)
		must(t, err)
	}
	for i := range 12 {
		put(i)
	}
	must(t, l.checkpoint())
	for i := range 4 {
		put(12 + i)
	}
	l.commit(true) // the mark that an idle journal gets: it vouches for the group before
	out := copyFS(t, fsys, "/data")
	must(t, l.Close())
	return out, want
}

// TestFlipEveryByte alters each byte of journal, segments and snapshot in
// turn. Whatever is read is what was written, in order; what is missing is
// called damaged; nothing else is lost.
func TestFlipEveryByte(t *testing.T) {
	t.Run("plain", func(t *testing.T) { flipEveryByte(t, func(o Options) Options { return o }) })
	t.Run("past the cache", func(t *testing.T) { flipEveryByte(t, past) })
	encrypted := func(o Options) Options {
		o.Keys.Current = testKey(1)
		return o
	}
	t.Run("encrypted", func(t *testing.T) { flipEveryByte(t, encrypted) })
}

func flipEveryByte(t *testing.T, change func(Options) Options) {
	t.Helper()
	orig, want := damagedLogWith(t, change)
	altered := 0
	defer func() { t.Logf("%d bytes altered", altered) }()
	for _, path := range allFiles(t, orig, "/data") {
		if strings.HasSuffix(path, lockFile) {
			continue
		}
		b, err := readFile(orig, path, 1<<30)
		must(t, err)
		step := 97 // a sample that meets every field, in some frame or other
		if *exhaustive {
			step = 1
		}
		if strings.Contains(path, "/journal/") {
			written := len(bytes.TrimRight(b, "\x00"))
			b = b[:min(len(b), written+block/2)] // zeros follow, which are one like the other
		}
		for i := 0; i < len(b); i += step {
			fsys := copyFS(t, orig, "/data")
			f, err := fsys.OpenFile(path, os.O_RDWR, 0)
			must(t, err)
			_, err = f.WriteAt([]byte{b[i] ^ 0x41}, int64(i))
			must(t, err)
			must(t, f.Close())
			altered++
			if !survives(t, fsys, change, want) {
				t.Fatalf("byte %d of %s", i, path)
			}
		}
	}
}

// survives opens a damaged log and judges what it gives.
func survives(t *testing.T, fsys vfs.FS, change func(Options) Options, want map[streams.ShardID][]string) bool {
	t.Helper()
	o := change(small(fsys))
	o.SegmentBytes, o.TailBytes = 4096, 1<<30
	l, err := Open("/data", o)
	if err != nil {
		if !errors.Is(err, ErrFormat) {
			t.Errorf("refused with %v", err)
		}
		return !t.Failed() // refused with a sentence
	}
	defer l.Close()
	for id, data := range want {
		next, missing, told := streams.Sequence(1), 0, false
		for int(next) <= len(data) { //nolint:gosec // Small.
			p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s", Shard: id}, streams.Position{Kind: streams.At, Seq: next}, streams.Limit{Bytes: 2000})
			var bad *streams.DamageError
			if errors.As(err, &bad) {
				told = true
				missing++
				next++
				continue
			}
			if err != nil {
				t.Errorf("%s: read at %d: %v", id, next, err)
				return false
			}
			if len(p.Records) == 0 {
				break
			}
			for _, r := range p.Records {
				if r.Sequence < next || string(r.Data) != data[r.Sequence-1] {
					t.Errorf("%s: record %d is altered: %.40q", id, r.Sequence, r.Data)
					return false
				}
				missing += int(r.Sequence - next) //nolint:gosec // Small.
				next = r.Sequence + 1
			}
		}
		missing += len(data) - int(next) + 1 //nolint:gosec // Small.
		if missing > 0 && !told {
			// The shard must at least say so at its end.
			_, err := l.Read(t.Context(), streams.ShardRef{Stream: "s", Shard: id}, streams.Position{Kind: streams.At, Seq: next}, streams.Limit{})
			var bad *streams.DamageError
			if !errors.As(err, &bad) {
				t.Errorf("%s: %d of %d records are missing in silence (%v)", id, missing, len(data), err)
				return false
			}
		}
		if missing > 6 {
			t.Errorf("%s: one byte cost %d of %d records", id, missing, len(data))
			return false
		}
	}
	return true
}

// TestTornTail drops what was never acknowledged, and says so once.
func TestTornTail(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	o.CheckpointBytes = 1 << 30
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	appendAll(t, l, "s", "a")
	appendAll(t, l, "s", "b")
	torn := copyFS(t, fsys, "/data")
	must(t, l.Close())
	for _, path := range allFiles(t, torn, "/data/journal") {
		b, err := readFile(torn, path, 1<<30)
		must(t, err)
		if i := lastGroup(b, l.seed); i > 0 {
			b[i+groupHead+headerBytes+1] ^= 1 // in the body of the last group
			writeAll(t, torn, path, b)
		}
	}
	l = open(t, "/data", small(torn))
	got, err := readShard(t, l, "s", 0)
	must(t, err)
	wantTexts(t, got, "a")
	if res := appendAll(t, l, "s", "c"); res.Placed[0].Sequence != 2 {
		t.Errorf("sequence %d after a torn tail, want 2", res.Placed[0].Sequence)
	}
	must(t, l.Close())
}

func lastGroup(b []byte, seed uint32) (at int) {
	for i := block; i+block <= len(b); i += block {
		if g, ok := parseGroup(b[i:], seed); ok && g.frames > 0 {
			at = i
		}
	}
	return at
}

// tells checks that a log with lost records says so and still serves the rest.
func tells(t *testing.T, fsys vfs.FS, want map[streams.ShardID][]string, what string) {
	t.Helper()
	l, err := Open("/data", small(fsys))
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	defer l.Close()
	damaged := 0
	for id, data := range want {
		recs, err := readShard(t, l, "s", id)
		var bad *streams.DamageError
		switch {
		case errors.As(err, &bad):
			damaged++
			for _, r := range recs {
				if string(r.Data) != data[r.Sequence-1] {
					t.Errorf("%s: %s: record %d is altered", what, id, r.Sequence)
				}
			}
		case err != nil:
			t.Errorf("%s: %s: %v", what, id, err)
		case !slices.Equal(texts(recs), data):
			t.Errorf("%s: %s: %d of %d records, in silence", what, id, len(recs), len(data))
		}
	}
	if damaged != 1 {
		t.Errorf("%s: %d shards are damaged, want 1", what, damaged)
	}
}

// TestUnknownFilesAreKept moves aside what the log does not know.
func TestUnknownFilesAreKept(t *testing.T) {
	orig, want := damagedLog(t)
	for _, path := range []string{
		"/data/shards/0000000000000001/notes.txt", "/data/journal/notes.txt", "/data/shards/notes",
	} {
		fsys := copyFS(t, orig, "/data")
		writeAll(t, fsys, path, []byte("precious"))
		l := open(t, "/data", small(fsys))
		for id, data := range want {
			recs, err := readShard(t, l, "s", id)
			must(t, err)
			if !slices.Equal(texts(recs), data) {
				t.Errorf("%s: %d records", path, len(recs))
			}
		}
		must(t, l.Close())
		found := allFiles(t, fsys, "/data/"+foundDir)
		if len(found) != 1 {
			t.Fatalf("%s: lost+found has %q", path, found)
		}
		b, err := readFile(fsys, found[0], 100)
		must(t, err)
		if string(b) != "precious" {
			t.Errorf("%s: %q", path, b)
		}
	}
}

// TestSnapshotFallback starts from the snapshot before if the newest cannot be
// read.
func TestSnapshotFallback(t *testing.T) {
	orig, want := damagedLog(t)
	l := open(t, "/data", small(orig))
	must(t, l.Close())
	list := allFiles(t, orig, "/data/meta")
	if len(list) != 2 {
		t.Fatalf("snapshots %q, want two", list)
	}
	newest := slices.Max(list)
	b, err := readFile(orig, newest, 1<<30)
	must(t, err)
	var n snapshot
	must(t, json.Unmarshal(b[:len(b)-snapshotTail], &n))
	b[len(b)/2] ^= 1
	writeAll(t, orig, newest, b)
	l = open(t, "/data", small(orig))
	for id, data := range want {
		recs, err := readShard(t, l, "s", id)
		must(t, err)
		if !slices.Equal(texts(recs), data) {
			t.Errorf("%s: %d of %d records", id, len(recs), len(data))
		}
	}
	if got := string(l.State("n")); got != "15" {
		t.Errorf("state %q", got)
	}
	must(t, l.Close())
}

func FuzzGroup(f *testing.F) {
	buf := make([]byte, 2*block)
	h := header{kind: kindRecords, length: 5, bodyCRC: checksum(1, []byte("abcde")), seq: 1, count: 1}
	copy(buf[block+groupHead+headerBytes:], "abcde")
	h.put(buf[block+groupHead:], 1)
	y := layout{buf: buf, used: groupHead + headerBytes + 8}
	y.seal(&groupInfo{lsn: 4096, number: 1, generation: 1}, 5, 1)
	f.Add(buf[block:], uint32(1))
	f.Fuzz(func(t *testing.T, b []byte, seed uint32) {
		s := salvage(b, 1, seed)
		g, ok := parseGroup(b, seed)
		if !ok {
			return
		}
		frames, err := groupFrames(b, g, seed)
		if err == nil && len(frames) > len(s.frames)+1 {
			t.Errorf("a whole group has %d frames, salvage found %d", len(frames), len(s.frames))
		}
		for _, fr := range frames {
			payloadOf(fr.body(), fr.count)
			if fr.count < 1000 {
				decodeState(fr.body(), fr.count)
			}
			_, _ = decodeControl(fr.body())
		}
	})
}

func FuzzSegment(f *testing.F) {
	for _, b := range segmentBytes() {
		f.Add(b)
	}
	l := &Log{opt: Options{}.withDefaults()}
	st := &stream{id: 1}
	s := &shard{st: st}
	f.Fuzz(func(t *testing.T, b []byte) {
		parseSegmentHead(b, l.seed)
		if n := len(b); n >= trailerBytes {
			parseTrailer(b[n-trailerBytes:], int64(n), l.seed)
		}
		seg := &segment{base: 1}
		got, err := l.scanSegment(readerAt(b), "f", s, seg, int64(len(b)), seg.sealed)
		if err != nil {
			t.Fatal(err)
		}
		if got.index.end > int64(max(len(b), segmentHead)) {
			t.Errorf("end %d of %d bytes", got.index.end, len(b))
		}
		r := frameReader{l: l, s: s, seg: seg, f: readerAt(b), off: segmentHead, end: int64(len(b)), chunk: 4096}
		for {
			fr, err := r.next()
			if err != nil {
				break
			}
			if r.check(&fr) == nil {
				c := pageOf(fr.base, streams.Limit{Records: 100, Bytes: 1 << 20})
				_, _ = c.add(fr.base, fr.count, fr.arrival, fr.body())
			}
		}
	})
}

// segmentBytes makes segments of a log with seed 0 for the corpus.
func segmentBytes() [][]byte {
	b := make([]byte, segmentHead)
	(&segmentMeta{stream: 1, base: 1}).put(b, 0)
	body := appendRecord(nil, &streams.NewRecord{PartitionKey: "k", Data: []byte("data")})
	fr := make([]byte, headerBytes+pad8(len(body)))
	copy(fr[headerBytes:], body)
	h := header{kind: kindRecords, length: uint32(len(body)), bodyCRC: checksum(0, body), seq: 1, stream: 1, count: 1} //nolint:gosec // Small.
	h.put(fr, 0)
	b = append(b, fr...)
	return [][]byte{b, b[:len(b)-3], append(slices.Clone(b), fr...)}
}

type readerAt []byte

func (r readerAt) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(r)) {
		return 0, io.EOF
	}
	n := copy(p, r[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func FuzzSnapshot(f *testing.F) {
	n := &snapshot{Format: 1, Log: "x", Streams: []snapStream{{ID: 1, Name: "s\xff", Shards: []snapShard{{ID: 1, Start: snapKey{}, End: snapKey(streams.MaxHashKey)}}}}, State: []snapState{{"k", []byte("v")}}}
	b, err := n.encode(0, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b[:len(b)-snapshotTail])
	f.Fuzz(func(t *testing.T, body []byte) {
		b := fmt.Appendf(slices.Clone(body), "crc32c %08x\n", checksum(0, body))
		n, err := decodeSnapshot(b, 0, nil)
		if err != nil {
			return
		}
		for i := range n.Streams {
			for k := range n.Streams[i].Shards {
				_ = restoreShard(&stream{}, &n.Streams[i].Shards[k])
			}
		}
		b, err = n.encode(0, nil)
		must(t, err)
		again, err := decodeSnapshot(b, 0, nil)
		if err != nil {
			t.Fatalf("what was encoded is not understood: %v\n%s", err, b)
		}
		if b2, _ := again.encode(0, nil); !bytes.Equal(b, b2) {
			t.Errorf("encoded again:\n%s\nbefore:\n%s", b2, b)
		}
	})
}
