package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fxamacker/cbor/v2"
)

const (
	bytesPath = "/bytes/" // and a number of bytes, which the floor answers with
	getsShard = 24 << 20  // bytes of records in each shard that is read
	pageLimit = 1000      // records of a page: 1 MiB
)

// withBytes adds answers of so many bytes to a server: what any server does
// that sends pages from memory.
func withBytes(h http.Handler) http.Handler {
	page := bytes.Repeat([]byte("x"), 16<<20)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := strings.CutPrefix(r.URL.Path, bytesPath)
		if !ok {
			h.ServeHTTP(w, r)
			return
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > len(page) {
			http.Error(w, "the floor answers with 0 to 16 MiB", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Length", text)
		_, _ = w.Write(page[:n])
	})
}

// pager reads one shard from its beginning again and again.
type pager struct {
	g           *generator
	c           int // its connection
	shard       string
	contentType string
	iterator    string
}

// get reads a page, and returns the bytes of the answer and of the records in
// it.
func (p *pager) get(ctx context.Context, from *process) (answer, data int, err error) {
	if p.iterator == "" {
		in := map[string]any{"StreamName": benchStream, "ShardId": p.shard, "ShardIteratorType": "TRIM_HORIZON"}
		got, err := p.call(ctx, from, "GetShardIterator", in)
		if err != nil {
			return 0, 0, err
		}
		if p.iterator, err = p.text(got, "ShardIterator"); err != nil {
			return 0, 0, err
		}
	}
	got, err := p.call(ctx, from, "GetRecords", map[string]any{"ShardIterator": p.iterator, "Limit": pageLimit})
	if err != nil {
		return 0, 0, err
	}
	records := bytes.Count(got, []byte("PartitionKey"))
	if records < pageLimit {
		p.iterator = "" // the end: from the beginning again
	} else if p.iterator, err = p.text(got, "NextShardIterator"); err != nil {
		return 0, 0, err
	}
	return len(got), records * recordBytes, nil
}

func (p *pager) call(ctx context.Context, from *process, operation string, in map[string]any) ([]byte, error) {
	marshal := json.Marshal
	if p.contentType == typeCBOR {
		marshal = cbor.Marshal
	}
	body, err := marshal(in)
	if err != nil {
		return nil, err
	}
	return p.g.send(ctx, p.c, from, &request{
		operation: operation, contentType: p.contentType, bodies: [][]byte{body}, stored: func([]byte) bool { return true },
	}, 0)
}

// text finds a member that is a text behind the records, without reading them: the generator's time is part of what is measured.
func (p *pager) text(answer []byte, member string) (string, error) {
	tail := answer[max(len(answer)-1024, 0):]
	if p.contentType == typeCBOR {
		_, rest, ok := bytes.Cut(tail, []byte(member))
		var v string
		if _, err := cbor.UnmarshalFirst(rest, &v); !ok || err != nil {
			return "", fmt.Errorf("no %s in CBOR: %w", member, err)
		}
		return v, nil
	}
	_, rest, ok := bytes.Cut(tail, []byte(`"`+member+`":"`))
	v, _, closed := bytes.Cut(rest, []byte(`"`))
	if !ok || !closed {
		return "", fmt.Errorf("no %s in %.200q", member, tail)
	}
	return string(v), nil
}

// gets measures what goes out by GetRecords.
func (b *bench) gets(ctx context.Context) (t *table, err error) {
	t = &table{
		Name: "gets", Title: "Records out, over HTTP, by GetRecords",
		Note: fmt.Sprintf("Pages of %d records of 1 KiB; each connection reads a shard of %d MB from its beginning again and again. MB/s counts the data of records. "+
			"Floor: a bare server that answers each request with as many bytes, from memory.", pageLimit, getsShard/1_000_000),
	}
	floor, err := b.startFloor(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()
	const shards = 8
	daemon, err := b.startDaemon(ctx, fmt.Sprintf("storage: {min_free: 0}\nstreams: {%s: {shards: %d}}\n", benchStream, shards))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	q, err := newPutRecords(typeCBOR)
	if err != nil {
		return nil, err
	}
	fill := newGenerator(1)
	defer fill.close()
	for n := range shards * getsShard / int(q.data) {
		if _, err := fill.send(ctx, 0, daemon, q, n); err != nil {
			return nil, err
		}
	}
	for _, c := range []struct{ name, contentType string }{{"JSON", typeJSON}, {"CBOR", typeCBOR}} {
		for _, connections := range []int{1, shards} {
			b.sayf("GetRecords, %s, connections: %d", c.name, connections)
			r, err := b.getsRow(ctx, floor, daemon, c.contentType, connections)
			if err != nil {
				return nil, err
			}
			r.Name = fmt.Sprintf("GetRecords %d x 1 KiB, %s, %d conn.", pageLimit, c.name, connections)
			t.Rows = append(t.Rows, r)
		}
	}
	return t, nil
}

// getsRow reads from the daemon and, in turns with it, as many bytes from the
// floor.
func (b *bench) getsRow(ctx context.Context, floor, daemon *process, contentType string, connections int) (row, error) {
	g := newGenerator(connections)
	defer g.close()
	pagers := make([]*pager, connections)
	for c := range pagers {
		pagers[c] = &pager{g: g, c: c, shard: fmt.Sprintf("shardId-%012d", c), contentType: contentType}
	}
	answer := make([]int, connections) // bytes of a page of this connection
	read := func(ctx context.Context, c int) (int, error) {
		n, data, err := pagers[c].get(ctx, daemon)
		answer[c] = max(answer[c], n)
		return data, err
	}
	bare := func(ctx context.Context, c int) (int, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, floor.url+bytesPath+strconv.Itoa(answer[c]), nil)
		if err != nil {
			return 0, err
		}
		res, err := g.client.Do(r)
		if err != nil {
			return 0, err
		}
		defer res.Body.Close()
		if n, err := io.Copy(&g.answers[c], res.Body); err != nil || int(n) != answer[c] {
			return 0, fmt.Errorf("floor: %s with %d bytes: %w", res.Status, n, err)
		}
		g.answers[c].Reset()
		return pageLimit * recordBytes, nil
	}
	var below, above, ratio, cpu []float64
	for n := range b.repeats + 1 {
		out, err := turn(ctx, daemon, connections, b.phase, read)
		if err != nil {
			return row{}, err
		}
		under, err := turn(ctx, floor, connections, b.phase, bare)
		if err != nil {
			return row{}, err
		}
		if n == 0 {
			continue // connections open, code and files become warm
		}
		below, above = append(below, under.rate), append(above, out.rate)
		ratio, cpu = append(ratio, out.rate/under.rate), append(cpu, out.cpu)
	}
	return row{Values: []value{
		measured("floor MB/s", below), measured("firehosed MB/s", above), measured("of the floor", ratio), measured("CPU ms/MB firehosed", cpu),
	}}, nil
}

// outflow is what a turn of reads came to.
type outflow struct {
	rate float64 // MB/s
	cpu  float64 // of the server, ms/MB
}

// turn reads over all connections for about d.
func turn(ctx context.Context, from *process, connections int, d time.Duration, read func(ctx context.Context, c int) (int, error)) (outflow, error) {
	before, err := processorTime(from.pid)
	if err != nil {
		return outflow{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	sums := make([]int, connections)
	var workers sync.WaitGroup
	start := time.Now()
	for c := range sums {
		workers.Go(func() {
			for time.Since(start) < d {
				n, err := read(ctx, c)
				if err != nil {
					cancel(err)
					return
				}
				sums[c] += n
			}
		})
	}
	workers.Wait()
	took := time.Since(start)
	if err := context.Cause(ctx); err != nil {
		return outflow{}, err
	}
	after, err := processorTime(from.pid)
	mb := 0.0
	for _, n := range sums {
		mb += float64(n) / 1e6
	}
	return outflow{rate: mb / took.Seconds(), cpu: ms(after-before) / max(mb, 1)}, err
}
