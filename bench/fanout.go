package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	echoPath  = "/echo"
	echoBytes = 1800 // about an event with a record of 1 KiB

	pushConsumers   = 20 // the most a stream has
	pushShards      = 50
	pushConnections = 10 // for HTTP/2
)

// echo answers a request with its own body, piece by piece as it comes: what
// any server does that pushes over an HTTP/2 stream.
func echo(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	_ = control.Flush()
	piece := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(piece)
		if n > 0 {
			if _, werr := w.Write(piece[:n]); werr != nil || control.Flush() != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// withEcho adds echo to a server.
func withEcho(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == echoPath {
			echo(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// pushClient speaks one version of HTTP over connections of its own.
func pushClient(version int) *http.Client {
	tr := &http.Transport{Protocols: new(http.Protocols), DisableCompression: true}
	tr.Protocols.SetHTTP1(version == 1)
	tr.Protocols.SetUnencryptedHTTP2(version == 2)
	return &http.Client{Transport: tr}
}

// echoStream is an open echo.
type echoStream struct {
	in  *io.PipeWriter
	out io.ReadCloser
}

func openEcho(ctx context.Context, c *http.Client, floor *process) (*echoStream, error) {
	r, w := io.Pipe()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, floor.url+echoPath, r)
	if err != nil {
		return nil, err
	}
	res, err := c.Do(req) //nolint:bodyclose // The stream's close closes it.
	if err != nil {
		return nil, err
	}
	return &echoStream{w, res.Body}, nil
}

func (e *echoStream) close() {
	_ = e.in.Close()
	_ = e.out.Close()
}

// trip sends bytes and returns when they have come back.
func (e *echoStream) trip(b []byte) error {
	if _, err := e.in.Write(b); err != nil {
		return err
	}
	_, err := io.ReadFull(e.out, b)
	return err
}

// subscription is an open SubscribeToShard.
type subscription struct {
	body io.ReadCloser
	in   *bufio.Reader
	buf  []byte
}

// subscribe opens a subscription and reads its first two frames: the initial
// response, and the event that tells where it stands.
func subscribe(ctx context.Context, c *http.Client, to *process, consumer, shard string) (*subscription, error) {
	body, err := json.Marshal(map[string]any{"ConsumerARN": consumer, "ShardId": shard, "StartingPosition": map[string]any{"Type": "LATEST"}})
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", typeJSON)
	r.Header.Set("X-Amz-Target", "Kinesis_20131202.SubscribeToShard")
	res, err := c.Do(r)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(io.LimitReader(res.Body, 300))
		return nil, errors.Join(fmt.Errorf("SubscribeToShard: %s: %s", res.Status, answer), res.Body.Close())
	}
	s := &subscription{body: res.Body, in: bufio.NewReader(res.Body)}
	for range 2 {
		if _, err := s.next(); err != nil {
			return nil, errors.Join(err, s.body.Close())
		}
	}
	return s, nil
}

// next returns a frame, valid until the next.
func (s *subscription) next() ([]byte, error) {
	head, err := s.in.Peek(4)
	if err != nil {
		return nil, fmt.Errorf("event stream: %w", err)
	}
	n := int(binary.BigEndian.Uint32(head))
	if n > 16<<20 {
		return nil, fmt.Errorf("event stream: frame of %d bytes", n)
	}
	if cap(s.buf) < n {
		s.buf = make([]byte, n)
	}
	s.buf = s.buf[:n]
	_, err = io.ReadFull(s.in, s.buf)
	return s.buf, err
}

// await returns when the record of a sequence number has come.
func (s *subscription) await(sequence string) (time.Time, error) {
	for {
		frame, err := s.next()
		at := time.Now()
		if err != nil {
			return at, err
		}
		if bytes.Contains(frame, []byte(`"SequenceNumber":"`+sequence+`"`)) {
			return at, nil
		}
	}
}

// register makes a consumer of the stream and returns its ARN.
func register(ctx context.Context, g *generator, to *process, name string) (string, error) {
	var sum struct {
		StreamDescriptionSummary struct{ StreamARN string }
	}
	if err := g.call(ctx, to, "DescribeStreamSummary", map[string]any{"StreamName": benchStream}, &sum); err != nil {
		return "", err
	}
	var out struct{ Consumer struct{ ConsumerARN string } }
	err := g.call(ctx, to, "RegisterStreamConsumer", map[string]any{"StreamARN": sum.StreamDescriptionSummary.StreamARN, "ConsumerName": name}, &out)
	return out.Consumer.ConsumerARN, err
}

// push measures how long after its acknowledgement a record is with a
// subscriber.
func (b *bench) push(ctx context.Context) (t *table, err error) {
	b.sayf("push of %d records", b.samples)
	q, err := newPutRecord()
	if err != nil {
		return nil, err
	}
	floor, err := b.startFloor(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, floor.stop()) }()
	daemon, err := b.startDaemon(ctx, "storage: {min_free: 0}\nstreams: {"+benchStream+": {shards: 1}}\n")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, daemon.stop()) }()
	writer, client := newGenerator(1), pushClient(2)
	defer writer.close()
	defer client.CloseIdleConnections()
	bare, err := openEcho(ctx, client, floor)
	if err != nil {
		return nil, err
	}
	defer bare.close()
	consumer, err := register(ctx, writer, daemon, "push")
	if err != nil {
		return nil, err
	}
	sub, err := subscribe(ctx, client, daemon, consumer, "shardId-000000000000")
	if err != nil {
		return nil, err
	}
	defer sub.body.Close()

	var echoed, put, beyond, both []time.Duration
	piece := make([]byte, echoBytes)
	for n := range b.samples + 20 {
		start := time.Now()
		if err := bare.trip(piece); err != nil {
			return nil, fmt.Errorf("echo: %w", err)
		}
		back := time.Since(start)
		start = time.Now()
		answer, err := writer.send(ctx, 0, daemon, q, n)
		if err != nil {
			return nil, err
		}
		acknowledged := time.Now()
		var placed struct{ SequenceNumber string }
		if err := json.Unmarshal(answer, &placed); err != nil {
			return nil, err
		}
		seen, err := sub.await(placed.SequenceNumber)
		if err != nil {
			return nil, err
		}
		if n < 20 {
			continue // connections open, code and files become warm
		}
		echoed, put = append(echoed, back), append(put, acknowledged.Sub(start))
		beyond, both = append(beyond, seen.Sub(acknowledged)), append(both, seen.Sub(start))
	}
	line := func(name string, samples []time.Duration) row {
		return row{Name: name, Values: []value{
			measured("p50 ms", []float64{ms(percentile(samples, 50))}),
			measured("p99 ms", []float64{ms(percentile(samples, 99))}),
		}}
	}
	return &table{
		Name: "push", Title: "One record at a time: put to SubscribeToShard",
		Note: fmt.Sprintf("One client puts a record of 1 KiB, and then looks at a subscription over HTTP/2. %d records, in turns with the floor: %d bytes to a bare server "+
			"and back over one HTTP/2 stream. A record may be with the subscriber before its producer has read the acknowledgement; the client sees it after that.", b.samples, echoBytes),
		Rows: []row{
			line("floor: echo over an HTTP/2 stream", echoed),
			line("PutRecord, sent to acknowledged", put),
			line("acknowledged to pushed", beyond),
			line("sent to pushed", both),
		},
	}, nil
}

// idleSubscribers measures what open subscriptions cost while nothing comes.
func (b *bench) idleSubscribers(ctx context.Context) (*table, error) {
	const all = pushConsumers * pushShards
	t := &table{
		Name: "subscribers", Title: "Subscribers with nothing to read",
		Note: fmt.Sprintf("%d consumers of %d shards each hold a SubscribeToShard open, which sends an empty event every 3 s, watched for %v. Floor: as many idle echo streams of a bare server. "+
			"HTTP/2 over %d connections, HTTP/1.1 over one each. \"Each\" is what the process grew by, for one of them.", pushConsumers, pushShards, b.rest, pushConnections),
	}
	for _, c := range []struct {
		name    string
		version int // of the daemon's clients, 0 for the floor
	}{
		{"floor: 1,000 echo streams, HTTP/2", 0},
		{"1,000 subscriptions, HTTP/2", 2},
		{"1,000 subscriptions, HTTP/1.1", 1},
	} {
		b.sayf("%s", c.name)
		before, after, err := b.holdOpen(ctx, c.version)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		t.Rows = append(t.Rows, row{Name: c.name, Values: []value{
			measured("RSS MB before", []float64{float64(before.memory) / 1e6}), measured("RSS MB", []float64{float64(after.memory) / 1e6}),
			measured("each KB", []float64{float64(after.memory-before.memory) / 1e3 / all}),
			measured("CPU % of a core", []float64{100 * after.cpu}),
		}})
	}
	return t, nil
}

// holdOpen watches a server before and while streams are open to it.
func (b *bench) holdOpen(ctx context.Context, version int) (before, after atRest, err error) {
	var p *process
	if version == 0 {
		p, err = b.startFloor(ctx)
	} else {
		p, err = b.startDaemon(ctx, fmt.Sprintf("storage: {min_free: 0}\nstreams: {%s: {shards: %d}}\n", benchStream, pushShards))
	}
	if err != nil {
		return before, after, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // the streams, so that the stop has none to end
	if before, err = watch(ctx, p.pid, b.rest); err != nil {
		return before, after, err
	}
	clients := make([]*http.Client, pushConnections)
	for i := range clients {
		clients[i] = pushClient(cmp.Or(version, 2))
		defer clients[i].CloseIdleConnections()
	}
	g := newGenerator(1)
	defer g.close()
	for i := range pushConsumers {
		consumer := ""
		if version != 0 {
			if consumer, err = register(ctx, g, p, fmt.Sprintf("consumer-%02d", i)); err != nil {
				return before, after, err
			}
		}
		for shard := range pushShards {
			c := clients[(i*pushShards+shard)%len(clients)]
			if version == 0 {
				e, err := openEcho(ctx, c, p)
				if err != nil {
					return before, after, err
				}
				defer e.close()
				continue
			}
			s, err := subscribe(ctx, c, p, consumer, fmt.Sprintf("shardId-%012d", shard))
			if err != nil {
				return before, after, err
			}
			defer s.body.Close()
			go func() { _, _ = io.Copy(io.Discard, s.in) }() // ends with the body
		}
	}
	after, err = watch(ctx, p.pid, b.rest)
	return before, after, err
}
