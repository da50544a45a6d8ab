package wal

import (
	"fmt"
	"testing"

	"github.com/firehosed/firehosed/streams"
)

func TestSmoke(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := l.Create(ctx, streams.StreamSpec{Name: "a", Shards: 3}); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		b := &streams.Batch{}
		for k := range 50 {
			b.Records = append(b.Records, streams.NewRecord{PartitionKey: fmt.Sprint("k", i, k), Data: []byte(fmt.Sprint("data", i, k))})
		}
		b.State = []streams.StateUpdate{{Key: "pos", Value: []byte(fmt.Sprint(i))}}
		if _, err := l.Append(ctx, "a", b); err != nil {
			t.Fatal(err)
		}
	}
	count := func(l *Log) int {
		n := 0
		for id := range 3 {
			pos := streams.Position{Kind: streams.Horizon}
			for {
				p, err := l.Read(ctx, streams.ShardRef{Stream: "a", Shard: streams.ShardID(id)}, pos, streams.Limit{Records: 77})
				if err != nil {
					t.Fatal(err)
				}
				if len(p.Records) == 0 {
					break
				}
				n += len(p.Records)
				pos = streams.Position{Kind: streams.At, Seq: p.Next}
			}
		}
		return n
	}
	if n := count(l); n != 5000 {
		t.Fatal(n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err = Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if n := count(l); n != 5000 || string(l.State("pos")) != "99" {
		t.Fatal(n, string(l.State("pos")))
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
