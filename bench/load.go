package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// request is one kind of call, made beforehand so that the generator spends
// its time on sending.
type request struct {
	operation   string
	contentType string
	bodies      [][]byte // sent in turn
	records     int      // in each body
	data        int64    // bytes of records in each body
	// stored reports whether the answer says that all was stored. The floor's
	// answer is empty.
	stored func(answer []byte) bool
}

// generator sends requests over a fixed number of connections, each with one
// request at a time, as the AWS SDKs do.
type generator struct {
	client  *http.Client
	answers []bytes.Buffer // by connection
}

func newGenerator(connections int) *generator {
	return &generator{
		client: &http.Client{Transport: &http.Transport{
			MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections, DisableCompression: true,
			WriteBufferSize: 64 << 10, ReadBufferSize: 64 << 10,
		}},
		answers: make([]bytes.Buffer, connections),
	}
}

func (g *generator) close() { g.client.CloseIdleConnections() }

// send makes one request over connection c and returns the answer, which is
// valid until the next.
func (g *generator) send(ctx context.Context, c int, to *process, q *request, n int) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(q.bodies[n%len(q.bodies)]))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", q.contentType)
	r.Header.Set("X-Amz-Target", "Kinesis_20131202."+q.operation)
	res, err := g.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b := &g.answers[c]
	b.Reset()
	if _, err := io.Copy(b, res.Body); err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s answered %s: %.300s", to.name, q.operation, res.Status, b.Bytes())
	}
	if b.Len() > 0 && !q.stored(b.Bytes()) {
		return nil, fmt.Errorf("%s: %s did not store all: %.300s", to.name, q.operation, b.Bytes())
	}
	return b.Bytes(), nil
}

// call makes one request that is no load, over the first connection. out may be
// nil.
func (g *generator) call(ctx context.Context, to *process, operation string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	answer, err := g.send(ctx, 0, to, &request{
		operation: operation, contentType: typeJSON, bodies: [][]byte{body}, stored: func([]byte) bool { return true },
	}, 0)
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// phase is what one side did in one stretch of load.
type phase struct {
	requests int
	took     time.Duration
	client   time.Duration // processor time of the generator
	server   time.Duration // and of the server
}

func (p phase) rate() float64 { return float64(p.requests) / p.took.Seconds() }

// run loads a server on all connections for about d.
func (g *generator) run(ctx context.Context, to *process, q *request, d time.Duration) (phase, error) {
	var p phase
	client, err1 := processorTime("self")
	server, err2 := processorTime(to.pid)
	if err := errors.Join(err1, err2); err != nil {
		return p, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	counts := make([]int, len(g.answers))
	var workers sync.WaitGroup
	start := time.Now()
	for c := range counts {
		workers.Go(func() {
			for n := c; time.Since(start) < d; n++ {
				if _, err := g.send(ctx, c, to, q, n); err != nil {
					cancel(err)
					return
				}
				counts[c]++
			}
		})
	}
	workers.Wait()
	p.took = time.Since(start)
	if err := context.Cause(ctx); err != nil {
		return p, err
	}
	for _, n := range counts {
		p.requests += n
	}
	p.client, err1 = processorTime("self")
	p.server, err2 = processorTime(to.pid)
	p.client -= client
	p.server -= server
	return p, errors.Join(err1, err2)
}
