package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/internal/vfs/errfs"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/enginetest"
)

// TestEngineCompressed runs the suite with tiny segments that are compressed as
// soon as they are sealed.
func TestEngineCompressed(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.Harness {
		o := small(vfs.OS())
		o.CheckpointInterval = time.Millisecond
		o.IndexBytes = 4 << 10
		o.Compression, o.compressRate = Zstd, -1
		return newStore(t, o)
	})
}

// compressNow compresses what is sealed, as the loop would.
func compressNow(t testing.TB, l *Log) {
	t.Helper()
	must(t, l.checkpoint())
	must(t, l.compressAll(&pacer{l: l, done: &l.compressed.read}))
}

// compressible fills stream s of a log with n records that compress well, and
// some that do not.
func compressible(t testing.TB, l *Log, n int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 7))
	for i := 0; i < n; {
		b := new(streams.Batch)
		for range 1 + rng.IntN(40) {
			r := streams.NewRecord{PartitionKey: fmt.Sprint("key-", i), Data: []byte(strings.Repeat(fmt.Sprint("line ", i, " "), rng.IntN(20)))}
			if i%17 == 0 {
				r.Explicit, r.HashKey = true, streams.HashKey{Hi: uint64(i), Lo: 5}
			}
			if i%50 == 49 {
				for range 100 {
					r.Data = binary.LittleEndian.AppendUint64(r.Data, rng.Uint64())
				}
			}
			b.Records = append(b.Records, r)
			i++
		}
		_, err := l.Append(t.Context(), "s", b)
		must(t, err)
	}
}

func sealedBytes(t testing.TB, l *Log) (n int, bytes int64) {
	t.Helper()
	for _, s := range l.allShards() {
		s.mu.Lock()
		segs := slices.Clone(s.segs)
		s.mu.Unlock()
		for _, seg := range segs {
			if seg.sealed {
				st, err := l.opt.FS.Stat(seg.path())
				must(t, err)
				n, bytes = n+1, bytes+st.Size()
			}
		}
	}
	return n, bytes
}

// TestCompress compares everything a reader can see before and after.
func TestCompress(t *testing.T) {
	for name, keys := range map[string]Keys{"plain": {}, "encrypted": {Current: testKey(1)}} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, small(vfs.OS()))
			s.opt.SegmentBytes, s.opt.Clock, s.opt.Keys = 32<<10, s.Now, keys
			l := open(t, s.dir, s.opt)
			create(t, l, "s", 1)
			for range 8 {
				compressible(t, l, 300)
				s.Advance(time.Second)
			}
			must(t, l.checkpoint())
			seen := look(t, l)
			files, before := sealedBytes(t, l)
			compressNow(t, l)
			if got := look(t, l); !slices.Equal(got, seen) {
				t.Errorf("after compression:\n%s\nbefore:\n%s", got, seen)
			}
			after, bytes := sealedBytes(t, l)
			st := l.Stats()
			if after != files || bytes > before/2 || st.Compressed != int64(files) || st.CompressedFrom != before || st.CompressedTo != bytes {
				t.Errorf("%d files of %d bytes became %d of %d; stats say %d of %d became %d", files, before, after, bytes, st.Compressed, st.CompressedFrom, st.CompressedTo)
			}
			must(t, l.Close())
			l = open(t, s.dir, s.opt)
			compressNow(t, l) // it sees that all is done
			if n := l.Stats().Compressed; n != 0 {
				t.Errorf("%d segments were compressed again", n)
			}
			if got := look(t, l); !slices.Equal(got, seen) {
				t.Errorf("after a start:\n%s\nbefore:\n%s", got, seen)
			}
			must(t, l.scrub(&pacer{l: l}))
			if st := l.Stats(); st.ScrubDamage != 0 {
				t.Errorf("the scrubber found damage: %+v", st)
			}
			must(t, l.Close())
		})
	}
}

// look tells what readers see of s, by all kinds of positions.
func look(t *testing.T, l *Log) (out []string) {
	t.Helper()
	ref := streams.ShardRef{Stream: "s"}
	recs, err := readShard(t, l, "s", 0)
	must(t, err)
	sum := checksum(0, nil)
	for i := range recs {
		r := &recs[i]
		sum = checksum(sum, fmt.Appendf(nil, "%d %s %s %v %x\n", r.Sequence, r.PartitionKey, r.ExplicitHashKey, r.Arrival, r.Data))
	}
	out = append(out, fmt.Sprint(len(recs), " records, checksum ", sum))
	for i := 0; i < len(recs); i += 97 {
		seq := recs[i].Sequence
		b, err := l.Stat(ref, seq)
		must(t, err)
		for _, limit := range []streams.Limit{{Records: 3}, {Bytes: 5000}} {
			p, err := l.Read(t.Context(), ref, streams.Position{Seq: seq}, limit)
			must(t, err)
			out = append(out, fmt.Sprint(seq, len(p.Records), p.Next, p.Records[0].PartitionKey, b.Records, b.Oldest))
		}
		p, err := l.Read(t.Context(), ref, streams.Position{Kind: streams.AtTime, Time: recs[i].Arrival}, streams.Limit{Records: 1})
		must(t, err)
		out = append(out, fmt.Sprint(p.Records[0].Sequence))
	}
	return out
}

// TestCompressNotWorthIt leaves segments alone that would not become smaller.
func TestCompressNotWorthIt(t *testing.T) {
	l := open(t, "/data", small(memfs.New()))
	create(t, l, "s", 1)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 30 {
		b := make([]byte, 1000)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		appendAll(t, l, "s", string(b))
	}
	must(t, l.checkpoint())
	n, before := sealedBytes(t, l)
	compressNow(t, l)
	if after, bytes := sealedBytes(t, l); n == 0 || after != n || bytes != before || l.Stats().Compressed != 0 {
		t.Errorf("%d files of %d bytes became %d of %d, %d were compressed", n, before, after, bytes, l.Stats().Compressed)
	}
	for _, f := range allFiles(t, l.opt.FS, "/data") {
		if strings.HasSuffix(f, ".tmp") {
			t.Errorf("%s was left", f)
		}
	}
}

// TestCompressWhileReading has readers in the middle of every segment when its
// file is replaced.
func TestCompressWhileReading(t *testing.T) {
	o := small(vfs.OS())
	o.IndexBytes = 4 << 10
	l := open(t, tempDir(t), o)
	create(t, l, "s", 1)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 3)) //nolint:gosec // Small.
			for {
				select {
				case <-stop:
					return
				default:
				}
				info, err := l.Describe("s")
				if err != nil {
					t.Error(err)
					return
				}
				seq := 1 + streams.Sequence(rng.Int64N(int64(info.Shards[0].Next))) //nolint:gosec // Small.
				p, err := l.Read(t.Context(), streams.ShardRef{Stream: "s"}, streams.Position{Seq: seq}, streams.Limit{Bytes: 1 << rng.IntN(17)})
				if err != nil {
					t.Error(err)
					return
				}
				for i := range p.Records {
					if p.Records[i].Sequence != seq+streams.Sequence(i) { //nolint:gosec // Small.
						t.Errorf("record %d at %d from %d", p.Records[i].Sequence, i, seq)
						return
					}
				}
			}
		})
	}
	for range 20 {
		compressible(t, l, 200)
		compressNow(t, l)
	}
	close(stop)
	wg.Wait()
	if l.Stats().Compressed < 20 {
		t.Errorf("%d segments were compressed", l.Stats().Compressed)
	}
}

// TestCompressFails lets each operation fail in turn that compression does. The
// log goes on as if nothing had been asked for.
func TestCompressFails(t *testing.T) {
	for _, bad := range []error{syscall.EIO, syscall.ENOSPC} {
		done := false
		for n := 1; !done; n++ {
			fsys := errfs.New(memfs.New(), nil)
			o := small(fsys)
			o.CheckpointBytes = 1 << 30 // else one may still go on while operations fail
			l := open(t, "/data", o)
			create(t, l, "s", 1)
			compressible(t, l, 300)
			must(t, l.checkpoint())
			seen := look(t, l)
			var ops atomic.Int64
			fsys.SetInject(func(op errfs.Op) error {
				// A file that is made ahead of need at the same time is not meant.
				if strings.HasPrefix(op.Path, "/data/journal") {
					return nil
				}
				if ops.Add(1) == int64(n) {
					return bad
				}
				return nil
			})
			err := l.compressAll(&pacer{l: l, done: &l.compressed.read})
			fsys.SetInject(nil)
			done = ops.Load() < int64(n)
			must(t, err)
			if got := look(t, l); !slices.Equal(got, seen) {
				t.Fatalf("operation %d fails: %s, before %s", n, got, seen)
			}
			if err := l.Err(); err != nil {
				t.Fatalf("operation %d fails: the log ended: %v", n, err)
			}
			must(t, l.Close())
			l = open(t, "/data", small(fsys))
			if got := look(t, l); !slices.Equal(got, seen) {
				t.Fatalf("operation %d fails, after a start: %s, before %s", n, got, seen)
			}
			must(t, l.Close())
		}
	}
}

// TestCompressDamage flips bytes of compressed segments: what is read is what
// was written, or an error that names the file.
func TestCompressDamage(t *testing.T) {
	fsys := memfs.New()
	o := small(fsys)
	l := open(t, "/data", o)
	create(t, l, "s", 1)
	compressible(t, l, 300)
	compressNow(t, l)
	want, err := readShard(t, l, "s", 0)
	must(t, err)
	must(t, l.Close())
	var path string
	for _, f := range allFiles(t, fsys, "/data") {
		if strings.HasSuffix(f, ".seg") {
			path = f
			break
		}
	}
	orig, err := readFile(fsys, path, 1<<30)
	must(t, err)
	if m, ok := parseSegmentHead(orig, l.seed); !ok || m.codec != codecZstd {
		t.Fatal("the segment is not compressed")
	}
	step := 29
	if *exhaustive {
		step = 1
	}
	damaged := 0
	for i := 0; i < len(orig); i += step {
		b := bytes.Clone(orig)
		b[i] ^= 1 << (i % 8)
		broken := copyFS(t, fsys, "/data")
		writeAll(t, broken, path, b)
		l := open(t, "/data", small(broken))
		got, err := readShard(t, l, "s", 0)
		var bad *streams.DamageError
		switch {
		case err == nil && len(got) != len(want):
			t.Fatalf("byte %d: %d of %d records and no error", i, len(got), len(want))
		case err != nil && (!errors.As(err, &bad) || bad.File != path):
			t.Fatalf("byte %d: %v", i, err)
		case err != nil:
			damaged++
		}
		for k := range got {
			if !bytes.Equal(got[k].Data, want[k].Data) {
				t.Fatalf("byte %d: record %d is another", i, k)
			}
		}
		must(t, l.Close())
	}
	if damaged == 0 {
		t.Error("no flipped byte was noticed")
	}
	// An index that is lost is built again from compressed frames.
	writeAll(t, fsys, path, slices.Concat(orig[:len(orig)-trailerBytes], make([]byte, trailerBytes)))
	l = open(t, "/data", o)
	got, err := readShard(t, l, "s", 0)
	must(t, err)
	if len(got) != len(want) {
		t.Errorf("%d of %d records without the trailer", len(got), len(want))
	}
	must(t, l.Close())
	if b, err := readFile(fsys, path, 1<<30); err != nil || !bytes.Equal(b, orig) {
		t.Errorf("the trailer was not written as it was: %v", err)
	}
}

// TestCompressLeftover removes what a crash leaves, and nothing else.
func TestCompressLeftover(t *testing.T) {
	fsys := memfs.New()
	l := open(t, "/data", small(fsys))
	must(t, l.Close())
	writeAll(t, fsys, "/data/"+compressFile, []byte("half of a segment"))
	l = open(t, "/data", small(fsys))
	must(t, l.Close())
	if _, err := fsys.Stat("/data/" + compressFile); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

// FuzzCompressedFrame decompresses any bytes: at most what the frame declares
// comes out, and only of what is whole.
func FuzzCompressedFrame(f *testing.F) {
	d := new(decompressor)
	f.Cleanup(d.close)
	c, err := newCompressor(d)
	must(f, err)
	for _, body := range [][]byte{bytes.Repeat([]byte("abc"), 1000), make([]byte, 100_000), []byte("a")} {
		plain := make([]byte, headerBytes+pad8(len(body)))
		copy(plain[headerBytes:], body)
		h := header{kind: kindRecords, length: uint32(len(body)), seq: 1, stream: 1, count: 1} //nolint:gosec // Small.
		h.put(plain, 0)
		b, err := c.compress(plain, 0)
		must(f, err)
		b = bytes.Clone(b)
		b[3] |= kindCompressed // also where it stayed plain
		f.Add(b)
		more := bytes.Clone(b)
		binary.LittleEndian.PutUint32(more[headerBytes:], frameLimit+1)
		f.Add(more)
		f.Add(slices.Concat(b[:headerBytes], []byte{0, 0, 0, 1}, b[headerBytes+plainBytes:])) // declares 16 MiB
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerBytes {
			return
		}
		declared := -1
		if len(b) >= headerBytes+plainBytes {
			declared = int(binary.LittleEndian.Uint32(b[headerBytes:]))
		}
		asked := 0
		frame, ok := d.decompress(b, func(n int) []byte {
			asked += n
			return make([]byte, n)
		})
		if asked > headerBytes+pad8(frameLimit) {
			t.Errorf("%d bytes were asked for", asked)
		}
		if !ok {
			return
		}
		if n := int(binary.LittleEndian.Uint32(frame[4:])); n != declared || len(frame) != headerBytes+pad8(declared) || frame[3]&kindCompressed != 0 {
			t.Errorf("a frame of %d bytes says %d, %d were declared", len(frame), n, declared)
		}
	})
}

// TestDumpCompressed shows what compressed frames hold, with their key if they
// are encrypted as well.
func TestDumpCompressed(t *testing.T) {
	for name, keys := range map[string]Keys{"plain": {}, "encrypted": {Current: testKey(1)}} {
		t.Run(name, func(t *testing.T) {
			fsys := memfs.New()
			o := small(fsys)
			o.Keys = keys
			l := open(t, "/data", o)
			create(t, l, "s", 1)
			compressible(t, l, 300)
			compressNow(t, l)
			must(t, l.Close())
			files := 0
			for _, f := range allFiles(t, fsys, "/data") {
				if !strings.HasSuffix(f, ".seg") {
					continue
				}
				files++
				got := dump(t, fsys, f, DumpOptions{Records: true, Keys: keys})
				if !strings.Contains(got, "compressed=true") || !strings.Contains(got, "line ") || strings.Contains(got, "error=") || !strings.Contains(got, "bad=0") {
					t.Errorf("dump of %s:\n%.2000s", f, got)
				}
			}
			if files == 0 {
				t.Error("no segment was sealed")
			}
		})
	}
}
