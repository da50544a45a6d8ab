package wal

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams"
)

var (
	seedFlag   = flag.Int64("seed", -1, "run the random tests with this seed only")
	exhaustive = flag.Bool("exhaustive", false, "flip every byte, not a sample")
	crashSeeds = flag.Int("crashseeds", 100, "how many seeds the crash tests try")
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// seeds calls f for every seed that is asked for.
func seeds(t *testing.T, n int, f func(t *testing.T, seed uint64)) {
	t.Helper()
	first := uint64(time.Now().UnixNano())
	if *seedFlag >= 0 {
		first, n = uint64(*seedFlag), 1
	}
	for i := range uint64(n) { //nolint:gosec // Small.
		f(t, (first+i)&(1<<62-1))
		if t.Failed() {
			t.Fatalf("replay with -seed=%d", (first+i)&(1<<62-1))
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// small makes every file roll, every buffer fill and every checkpoint come
// soon. Nothing comes by time, so that it does not matter how slow the machine
// is, or whether it stops for a while.
func small(fsys vfs.FS) Options {
	return Options{
		FS: fsys, SegmentBytes: 8 << 10, JournalBytes: 64 << 10, CheckpointBytes: 48 << 10,
		TailBytes: 32 << 10, MinFreeBytes: -1, BallastBytes: -1, MaxOpenFiles: 4,
		largeBytes: 512, stepBytes: 3000,
		CheckpointInterval: time.Hour, markAfter: time.Hour, ScrubBytesPerSecond: -1,
	}
}

// past has segments written past the page cache whenever there is a little.
func past(o Options) Options {
	o.directBytes, o.CacheBytes, o.alignedBytes = 1500, 1, 700
	return o
}

func open(t testing.TB, dir string, opt Options) *Log {
	t.Helper()
	l, err := Open(dir, opt)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() }) // a second close is harmless
	return l
}

func create(t testing.TB, l *Log, name string, shards int) {
	t.Helper()
	_, err := l.Create(t.Context(), streams.StreamSpec{Name: name, Shards: shards})
	must(t, err)
}

func batch(data ...string) *streams.Batch {
	b := new(streams.Batch)
	for _, d := range data {
		b.Records = append(b.Records, streams.NewRecord{PartitionKey: "k", Data: []byte(d)})
	}
	return b
}

func appendAll(t testing.TB, l *Log, stream string, data ...string) streams.Result {
	t.Helper()
	res, err := l.Append(t.Context(), stream, batch(data...))
	must(t, err)
	return res
}

// readShard reads a whole shard in pages.
func readShard(t testing.TB, l *Log, stream string, shard streams.ShardID) ([]streams.Record, error) {
	t.Helper()
	var out []streams.Record
	pos := streams.Position{Kind: streams.Horizon}
	for {
		p, err := l.Read(t.Context(), streams.ShardRef{Stream: stream, Shard: shard}, pos, streams.Limit{Bytes: 32 << 10})
		if err != nil {
			return out, err
		}
		if len(p.Records) == 0 {
			return out, nil
		}
		out = append(out, p.Records...)
		pos = streams.Position{Kind: streams.At, Seq: p.Next}
	}
}

func texts(recs []streams.Record) []string {
	out := make([]string, len(recs))
	for i := range recs {
		out[i] = string(recs[i].Data)
	}
	return out
}

func wantTexts(t testing.TB, got []streams.Record, want ...string) {
	t.Helper()
	if fmt.Sprint(texts(got)) != fmt.Sprint(want) {
		t.Errorf("got records %q, want %q", texts(got), want)
	}
	for i := 1; i < len(got); i++ {
		if got[i].Sequence <= got[i-1].Sequence {
			t.Errorf("sequence %d after %d", got[i].Sequence, got[i-1].Sequence)
		}
	}
}

func tempDir(t testing.TB) string {
	t.Helper()
	return t.TempDir() + string(os.PathSeparator) + "data"
}
