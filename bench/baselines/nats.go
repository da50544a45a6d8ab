package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/firehosed/firehosed/bench/internal/turns"
)

const (
	subject = "bench"
	// connections within the process, that writers share.
	connections = 8
	readyTime   = 30 * time.Second
)

// natsStore is a stream of an embedded NATS server: its file store, synced
// before each acknowledgement.
type natsStore struct {
	server *server.Server
	conns  []*nats.Conn
	data   *turns.Data
	batch  atomic.Int64 // number of the last one
}

func openNATS(dir string) (_ turns.Store, err error) {
	n := &natsStore{data: turns.NewData()}
	n.server, err = server.NewServer(&server.Options{
		DontListen: true, NoLog: true, NoSigs: true,
		JetStream: true, StoreDir: dir, SyncAlways: true,
		JetStreamMaxStore: 1 << 40, JetStreamMaxMemory: 1 << 30,
	})
	if err != nil {
		return nil, err
	}
	n.server.Start()
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	if !n.server.ReadyForConnections(readyTime) {
		return nil, fmt.Errorf("server is not ready after %v", readyTime)
	}
	for range connections {
		c, err := nats.Connect("", nats.InProcessServer(n.server))
		if err != nil {
			return nil, err
		}
		n.conns = append(n.conns, c)
	}
	js, err := jetstream.New(n.conns[0])
	if err != nil {
		return nil, err
	}
	_, err = js.CreateStream(context.Background(), jetstream.StreamConfig{
		Name: "BENCH", Subjects: []string{subject}, Storage: jetstream.FileStorage, AllowAtomicPublish: true,
		Duplicates: time.Second,
	})
	return n, err
}

// Writer publishes a record and waits for its acknowledgement, or publishes an
// atomic batch and waits for that of the whole.
func (n *natsStore) Writer(w, records int) (func(context.Context, int) error, error) {
	c := n.conns[w%len(n.conns)]
	return func(ctx context.Context, i int) error {
		last := &nats.Msg{Subject: subject, Data: n.data.Record(i * records)}
		if records > 1 {
			id := strconv.FormatInt(n.batch.Add(1), 10)
			for k := range records {
				m := &nats.Msg{Subject: subject, Data: n.data.Record(i*records + k), Header: nats.Header{
					server.JSBatchId: {id}, server.JSBatchSeq: {strconv.Itoa(k + 1)},
				}}
				if last = m; k == records-1 {
					break
				}
				if err := c.PublishMsg(m); err != nil {
					return err
				}
			}
			last.Header[server.JSBatchCommit] = []string{"1"}
		}
		ctx, cancel := context.WithTimeout(ctx, readyTime)
		defer cancel()
		answer, err := c.RequestMsgWithContext(ctx, last)
		if err != nil {
			return err
		}
		var ack struct {
			Error *struct{ Description string }
			Seq   uint64
		}
		if err := json.Unmarshal(answer.Data, &ack); err != nil {
			return fmt.Errorf("acknowledgement %q: %w", answer.Data, err)
		}
		if ack.Error != nil || ack.Seq == 0 {
			return fmt.Errorf("not stored: %s", answer.Data)
		}
		return nil
	}, nil
}

func (n *natsStore) Settle() (time.Duration, error) { return 0, nil }

func (n *natsStore) Close() error {
	for _, c := range n.conns {
		c.Close()
	}
	n.server.Shutdown()
	n.server.WaitForShutdown()
	return nil
}
