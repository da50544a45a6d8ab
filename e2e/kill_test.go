package e2e

import (
	"bytes"
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
)

const (
	killProducers = 8
	killStreams   = 6    // at most, and one more for ten kills; the first is there from the start
	killShards    = 20   // of a stream, at most, and one more for each kill; closed ones count
	killBatch     = 40   // records of one PutRecords, at most
	killRecord    = 3000 // bytes of one record, at most
	killFirst     = "first"
	killTrimmed   = 3 << 20 // bytes that are put, at least, into a stream that keeps 1 MiB
)

// acknowledged is what one producer was told about one record.
type acknowledged struct {
	stream, shard, sequence string
	key, hash               string // hash only if it was explicit
	producer, number        int
	size                    int
}

// data makes the bytes of a record again from its ledger entry.
func (a *acknowledged) data() []byte { return payload(a.producer, a.number, a.size) }

// payload is different for each producer and number, and says which.
func payload(producer, number, size int) []byte {
	head := fmt.Appendf(nil, "%d %d ", producer, number)
	rng := rand.New(rand.NewPCG(uint64(producer), uint64(number)))
	for len(head) < size {
		head = append(head, byte(rng.Uint32()))
	}
	return head
}

// streamNames are the streams whose creation was acknowledged.
type streamNames struct {
	mu    sync.Mutex
	names []string
}

func (s *streamNames) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, name)
}

func (s *streamNames) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.names...)
}

// producer puts records of random sizes, one request at a time, and keeps the
// ledger of what was acknowledged. It never sends a record again: what became
// of a request without an answer is unknown, and such a record may be there or
// not.
type producer struct {
	id     int
	rng    *rand.Rand
	client *kinesis.Client
	names  *streamNames
	next   int

	ledger       []acknowledged
	acknowledged atomic.Int64   // how many are in the ledger
	first        atomic.Int64   // how many bytes of killFirst
	refused      map[string]int // requests, and records of requests, by code
}

func (p *producer) acknowledge(a acknowledged) {
	p.ledger = append(p.ledger, a)
	p.acknowledged.Add(1)
	if a.stream == killFirst {
		p.first.Add(int64(a.size))
	}
}

func (p *producer) refuse(code string) {
	if p.refused == nil {
		p.refused = map[string]int{}
	}
	p.refused[code]++
}

func (p *producer) run(ctx context.Context) {
	for ctx.Err() == nil {
		names := p.names.all()
		stream := names[p.rng.IntN(len(names))]
		var err error
		if p.rng.IntN(3) == 0 {
			err = p.putOne(ctx, stream)
		} else {
			err = p.putMany(ctx, stream)
		}
		if err != nil && ctx.Err() == nil {
			p.refuse(code(err))
			harness.Pause(ctx, 20*time.Millisecond) // the daemon is down
		}
	}
}

func (p *producer) record(stream string) (acknowledged, []byte) {
	a := acknowledged{
		stream: stream, producer: p.id, number: p.next, size: 16 + p.rng.IntN(killRecord),
		key: "key-" + strconv.Itoa(p.rng.IntN(500)),
	}
	if p.rng.IntN(4) == 0 {
		hash := new(big.Int).SetUint64(p.rng.Uint64())
		a.hash = hash.Lsh(hash, 64).Add(hash, new(big.Int).SetUint64(p.rng.Uint64())).String()
	}
	p.next++
	return a, a.data()
}

func explicit(hash string) *string {
	if hash == "" {
		return nil
	}
	return &hash
}

func (p *producer) putOne(ctx context.Context, stream string) error {
	a, data := p.record(stream)
	out, err := p.client.PutRecord(ctx, &kinesis.PutRecordInput{
		StreamName: &stream, PartitionKey: &a.key, ExplicitHashKey: explicit(a.hash), Data: data,
	})
	if err != nil {
		return err
	}
	a.shard, a.sequence = aws.ToString(out.ShardId), aws.ToString(out.SequenceNumber)
	p.acknowledge(a)
	return nil
}

func (p *producer) putMany(ctx context.Context, stream string) error {
	in := &kinesis.PutRecordsInput{StreamName: &stream}
	var batch []acknowledged
	for range 1 + p.rng.IntN(killBatch) {
		a, data := p.record(stream)
		batch = append(batch, a)
		in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: &a.key, ExplicitHashKey: explicit(a.hash), Data: data})
	}
	out, err := p.client.PutRecords(ctx, in)
	if err != nil {
		return err
	}
	if len(out.Records) != len(batch) {
		return fmt.Errorf("%d answers to %d records", len(out.Records), len(batch))
	}
	for i, r := range out.Records {
		if r.ErrorCode != nil {
			p.refuse(*r.ErrorCode)
			continue
		}
		batch[i].shard, batch[i].sequence = aws.ToString(r.ShardId), aws.ToString(r.SequenceNumber)
		p.acknowledge(batch[i])
	}
	return nil
}

// reshaper creates, splits and merges streams while they are written to.
type reshaper struct {
	rng    *rand.Rand
	client *kinesis.Client
	names  *streamNames

	streams, shards int // at most

	creates, splits, merges atomic.Int64 // acknowledged
	closed                  [][2]string  // stream and shard that an acknowledged call closed
	last                    error
}

func (r *reshaper) run(ctx context.Context) {
	for ctx.Err() == nil {
		names := r.names.all()
		var err error
		if len(names) < r.streams && r.rng.IntN(3) == 0 {
			err = r.create(ctx, fmt.Sprintf("made-%d-%d", len(names), r.rng.IntN(1e6)))
		} else {
			err = r.reshape(ctx, names[r.rng.IntN(len(names))])
		}
		if err != nil {
			r.last = err
		}
		harness.Pause(ctx, time.Duration(20+r.rng.IntN(150))*time.Millisecond)
	}
}

func (r *reshaper) create(ctx context.Context, name string) error {
	_, err := r.client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(int32(1 + r.rng.IntN(3)))})
	if err == nil {
		r.creates.Add(1)
		r.names.add(name)
	}
	return err
}

// reshape splits a random shard, or merges two neighbours when there are many.
func (r *reshaper) reshape(ctx context.Context, stream string) error {
	shards, err := listShards(ctx, r.client, stream)
	if err != nil {
		return err
	}
	var open []shardRange
	for _, s := range shards {
		if s.open {
			open = append(open, s)
		}
	}
	if len(open) == 0 {
		return fmt.Errorf("stream %s has no open shard of %d", stream, len(shards))
	}
	i := r.rng.IntN(len(open))
	if len(open) < 4 && len(shards) < r.shards {
		middle := new(big.Int).Add(open[i].from, open[i].to)
		middle.Rsh(middle, 1).Add(middle, big.NewInt(1))
		if middle.Cmp(open[i].to) > 0 {
			return nil
		}
		_, err := r.client.SplitShard(ctx, &kinesis.SplitShardInput{
			StreamName: &stream, ShardToSplit: &open[i].id, NewStartingHashKey: aws.String(middle.String()),
		})
		if err == nil {
			r.splits.Add(1)
			r.closed = append(r.closed, [2]string{stream, open[i].id})
		}
		return err
	}
	if len(shards) >= r.shards {
		return nil // enough to read back
	}
	for _, next := range open {
		if new(big.Int).Add(open[i].to, big.NewInt(1)).Cmp(next.from) != 0 {
			continue
		}
		_, err := r.client.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &stream, ShardToMerge: &open[i].id, AdjacentShardToMerge: &next.id})
		if err == nil {
			r.merges.Add(1)
			r.closed = append(r.closed, [2]string{stream, open[i].id}, [2]string{stream, next.id})
		}
		return err
	}
	return nil
}

// shardRange is a shard and the keys it takes.
type shardRange struct {
	id       string
	from, to *big.Int
	open     bool
}

func listShards(ctx context.Context, client *kinesis.Client, stream string) ([]shardRange, error) {
	var shards []shardRange
	in := &kinesis.ListShardsInput{StreamName: &stream}
	for {
		out, err := client.ListShards(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, s := range out.Shards {
			from, ok1 := new(big.Int).SetString(aws.ToString(s.HashKeyRange.StartingHashKey), 10)
			to, ok2 := new(big.Int).SetString(aws.ToString(s.HashKeyRange.EndingHashKey), 10)
			if !ok1 || !ok2 {
				return nil, fmt.Errorf("shard %s of %s has no hash range", aws.ToString(s.ShardId), stream)
			}
			shards = append(shards, shardRange{
				id: aws.ToString(s.ShardId), from: from, to: to, open: s.SequenceNumberRange.EndingSequenceNumber == nil,
			})
		}
		if out.NextToken == nil {
			return shards, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
}

// TestKillLoop kills the daemon again and again under producers that keep a
// ledger of what was acknowledged, and reads all of it back.
func TestKillLoop(t *testing.T) {
	killLoop(t, number(t, "E2E_KILLS", 15), "{ shards: 2 }", ", segment_size: 4MiB, journal_size: 8MiB", "")
}

// TestKillLoopRetention is TestKillLoop with encryption, and with a stream whose
// oldest files are removed all the time. What is younger than the oldest record
// of a shard must be there.
func TestKillLoopRetention(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, bytes.Repeat([]byte{7, 1, 9, 4}, 8), 0o600); err != nil {
		t.Fatal(err)
	}
	killLoop(t, number(t, "E2E_KILLS", 8), "{ shards: 2, retention_bytes: 1MiB }",
		", segment_size: 1MiB, journal_size: 4MiB, encryption: { key: { file: "+key+" } }", killFirst)
}

// killLoop has a stream named first with settings. Of the stream trimmed the
// oldest records may be gone.
func killLoop(t *testing.T, kills int, first, storage, trimmed string) {
	t.Helper()
	rng := random(t)
	d := harness.Run(t, harness.Settings{
		Body:    "streams:\n  " + killFirst + ": " + first + "\n",
		Storage: storage, // checkpoints and new files often
	})
	names := &streamNames{names: []string{killFirst}}
	httpClient := harness.Once()
	client := d.Kinesis(func(o *kinesis.Options) { o.HTTPClient, o.Retryer = httpClient, aws.NopRetryer{} })

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var working sync.WaitGroup
	producers := make([]*producer, killProducers)
	for i := range producers {
		p := &producer{id: i, rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), client: client, names: names}
		producers[i] = p
		working.Go(func() { p.run(ctx) })
	}
	shaper := &reshaper{
		rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), client: client, names: names,
		streams: killStreams + kills/10, shards: killShards + kills,
	}
	working.Go(func() { shaper.run(ctx) })
	enough := func() bool {
		var first int64
		for _, p := range producers {
			first += p.first.Load()
		}
		if trimmed != "" && first < killTrimmed {
			return false
		}
		return acknowledgedBy(producers) >= int64(10*kills) && shaper.creates.Load() > 0 && shaper.splits.Load() > 0 && shaper.merges.Load() > 0
	}
	var slowest atomic.Int64
	// More of them where little happens in between: on a machine that is busy.
	killed := 0
	for ; killed < kills || killed < 10*kills && !enough(); killed++ {
		harness.Pause(ctx, time.Duration(50+rng.IntN(600))*time.Millisecond)
		d.MustKill(t)
		began := time.Now()
		d.MustStart(t)
		slowest.Store(max(slowest.Load(), int64(time.Since(began))))
	}
	harness.Pause(ctx, 300*time.Millisecond)
	cancel()
	working.Wait()
	d.MustKill(t) // what the last requests were told counts as well
	d.MustStart(t)

	check := &ledgerCheck{trimmed: trimmed}
	refused := 0
	for _, p := range producers {
		for _, n := range p.refused {
			refused += n
		}
		check.add(p.ledger)
	}
	check.run(t, d.Kinesis(), names.all(), shaper.closed)
	t.Logf("%d kills, slowest start %v; %d records acknowledged, %d requests or records without; %d creates, %d splits, %d merges acknowledged; read back %d records of %d shards in %d streams: %d missing, %d changed, %d repeated, %d out of order",
		killed, time.Duration(slowest.Load()).Round(time.Millisecond), len(check.ledger), refused, shaper.creates.Load(), shaper.splits.Load(), shaper.merges.Load(),
		check.read, check.shards, len(names.all()), check.missing, check.changed, check.repeated, check.unordered)
	if len(check.ledger) < 10*kills || !enough() {
		t.Errorf("too little happened between the kills; the last error of reshaping was %v", shaper.last)
	}
	if trimmed != "" {
		t.Logf("%d records acknowledged that are older than the oldest of their shard", check.gone)
		if check.gone == 0 {
			t.Error("nothing was removed")
		}
	}
	for _, line := range d.LogLines(t, "ERROR") {
		t.Errorf("the daemon logged %v", line)
	}
	d.MustStop(t)
}

// ledgerCheck compares what was acknowledged with what is read.
type ledgerCheck struct {
	ledger map[string]*acknowledged // by stream, shard and sequence number

	trimmed string              // a stream whose oldest records may be gone
	oldest  map[string]*big.Int // read of its shards
	gone    int                 // acknowledged, and older

	shards, read                          int
	missing, changed, repeated, unordered int
	problems                              int
}

func (c *ledgerCheck) problem(t *testing.T, counter *int, format string, args ...any) {
	*counter++
	if c.problems++; c.problems <= 20 {
		t.Errorf(format, args...)
	}
}

func place(stream, shard, sequence string) string { return stream + " " + shard + " " + sequence }

// add takes the ledger of one producer, whose requests came one after another:
// within a shard its sequence numbers have to grow.
func (c *ledgerCheck) add(ledger []acknowledged) {
	if c.ledger == nil {
		c.ledger = map[string]*acknowledged{}
	}
	last := map[string]*big.Int{}
	for i := range ledger {
		a := &ledger[i]
		at := place(a.stream, a.shard, a.sequence)
		if c.ledger[at] != nil {
			c.repeated++
		}
		c.ledger[at] = a
		n, ok := new(big.Int).SetString(a.sequence, 10)
		shard := a.stream + " " + a.shard
		if !ok || last[shard] != nil && n.Cmp(last[shard]) <= 0 {
			c.unordered++
		}
		last[shard] = n
	}
}

func (c *ledgerCheck) run(t *testing.T, client *kinesis.Client, streams []string, closed [][2]string) {
	t.Helper()
	if c.repeated > 0 || c.unordered > 0 {
		t.Errorf("the acknowledgements alone: %d sequence numbers twice, %d not above the one before", c.repeated, c.unordered)
	}
	found := map[string]bool{}
	isOpen := map[[2]string]bool{}
	for _, stream := range streams {
		shards, err := listShards(t.Context(), client, stream)
		if err != nil {
			t.Errorf("stream %s, whose creation was acknowledged: %v", stream, err)
			continue
		}
		for _, shard := range shards {
			c.shards++
			isOpen[[2]string{stream, shard.id}] = shard.open
			c.readShard(t, client, stream, shard, found)
		}
	}
	for _, cl := range closed {
		if open, there := isOpen[cl]; open || !there && cl[0] != c.trimmed {
			t.Errorf("shard %s of %s was closed by an acknowledged call; now it is there %v, open %v", cl[1], cl[0], there, open)
		}
	}
	for at, a := range c.ledger {
		if !found[at] && c.old(a) {
			c.gone++
		} else if !found[at] {
			c.problem(t, &c.missing, "acknowledged and not read: %s, producer %d record %d", at, a.producer, a.number)
		}
	}
}

// old reports whether a record may be gone: it is older than all that can be read
// of its shard.
func (c *ledgerCheck) old(a *acknowledged) bool {
	if a.stream != c.trimmed {
		return false
	}
	oldest := c.oldest[a.shard]
	n, ok := new(big.Int).SetString(a.sequence, 10)
	return ok && (oldest == nil || n.Cmp(oldest) < 0)
}

func (c *ledgerCheck) readShard(t *testing.T, client *kinesis.Client, stream string, shard shardRange, found map[string]bool) {
	t.Helper()
	last := new(big.Int)
	err := readToEnd(t.Context(), client, stream, shard.id, func(r types.Record) error {
		c.read++
		sequence := aws.ToString(r.SequenceNumber)
		at := place(stream, shard.id, sequence)
		n, ok := new(big.Int).SetString(sequence, 10)
		if !ok {
			return fmt.Errorf("sequence number %q", sequence)
		}
		if n.Cmp(last) <= 0 {
			c.problem(t, &c.unordered, "%s does not come after %s", at, last)
		}
		if last.Sign() == 0 && stream == c.trimmed {
			if c.oldest == nil {
				c.oldest = map[string]*big.Int{}
			}
			c.oldest[shard.id] = n
		}
		last = n
		if found[at] {
			c.problem(t, &c.repeated, "%s was read twice", at)
		}
		found[at] = true
		c.compare(t, shard, at, r)
		return nil
	})
	if err != nil {
		t.Errorf("shard %s of %s: %v", shard.id, stream, err)
	}
}

// compare checks the bytes of a record: all of them if it is in the ledger, and
// what the record says of itself if its acknowledgement was lost.
func (c *ledgerCheck) compare(t *testing.T, shard shardRange, at string, r types.Record) {
	t.Helper()
	a := c.ledger[at]
	hash := ""
	if a != nil {
		hash = a.hash
		if a.key != aws.ToString(r.PartitionKey) || !bytes.Equal(a.data(), r.Data) {
			c.problem(t, &c.changed, "%s has key %q and %d bytes, put were %q and %d", at, aws.ToString(r.PartitionKey), len(r.Data), a.key, a.size)
		}
	} else {
		var producer, number int
		if _, err := fmt.Sscanf(string(r.Data), "%d %d ", &producer, &number); err != nil || !bytes.Equal(payload(producer, number, len(r.Data)), r.Data) {
			c.problem(t, &c.changed, "%s, not acknowledged, has bytes that nobody put", at)
		}
		return // its hash key may have been explicit
	}
	key := new(big.Int)
	if hash == "" {
		sum := md5.Sum([]byte(a.key))
		key.SetBytes(sum[:])
	} else {
		key.SetString(hash, 10)
	}
	if key.Cmp(shard.from) < 0 || key.Cmp(shard.to) > 0 {
		c.problem(t, &c.changed, "%s has hash key %s, the shard takes %s to %s", at, key, shard.from, shard.to)
	}
}

// readToEnd reads a shard from its horizon: a closed one to its end, an open
// one until nothing is newer.
func readToEnd(ctx context.Context, client *kinesis.Client, stream, shard string, each func(types.Record) error) error {
	it, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: &stream, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		return err
	}
	for next := it.ShardIterator; next != nil; {
		out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next})
		if err != nil {
			return err
		}
		for _, r := range out.Records {
			if err := each(r); err != nil {
				return err
			}
		}
		if next = out.NextShardIterator; next != nil && len(out.Records) == 0 {
			if behind := aws.ToInt64(out.MillisBehindLatest); behind == 0 {
				return nil
			}
		}
	}
	return nil
}

// noCode stands for an error that is no answer, such as a lost connection.
const noCode = "no answer"

// code is the error code of an answer.
func code(err error) string {
	var api interface{ ErrorCode() string }
	if !errors.As(err, &api) {
		return noCode
	}
	return api.ErrorCode()
}
