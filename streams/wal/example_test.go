package wal_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log" //nolint:depguard // What readers of an example expect.
	"os"
	"path/filepath"
	"strconv"

	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/wal"
)

// tempDir is where the logs of the examples lie. Those of a program lie where
// its data does.
func tempDir() string {
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		log.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

func Example() {
	dir := tempDir()
	defer os.RemoveAll(filepath.Dir(dir))
	ctx := context.Background()

	l, err := wal.Open(dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Create(ctx, streams.StreamSpec{Name: "clicks", Shards: 1}); err != nil {
		log.Fatal(err)
	}

	// Both records are on the disk when Append returns, or neither is.
	res, err := l.Append(ctx, "clicks", &streams.Batch{Records: []streams.NewRecord{
		{PartitionKey: "user-1", Data: []byte("hello")},
		{PartitionKey: "user-2", Data: []byte("world")},
	}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("the last one is record", res.Placed[1].Sequence, "of", res.Placed[1].Shard)

	page, err := l.Read(ctx, streams.ShardRef{Stream: "clicks", Shard: 0}, streams.Position{Kind: streams.Horizon}, streams.Limit{})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range page.Records {
		fmt.Printf("%d %s %s\n", r.Sequence, r.PartitionKey, r.Data)
	}
	// Output:
	// the last one is record 2 of shardId-000000000000
	// 1 user-1 hello
	// 2 user-2 world
}

// A reader that has read everything waits for more. It costs nothing
// meanwhile: no polling, no goroutine of the log.
func ExampleLog_Wait() {
	dir := tempDir()
	defer os.RemoveAll(filepath.Dir(dir))
	ctx := context.Background()
	l, err := wal.Open(dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Create(ctx, streams.StreamSpec{Name: "lines", Shards: 1}); err != nil {
		log.Fatal(err)
	}

	go func() {
		for _, line := range []string{"one", "two", "three"} {
			b := &streams.Batch{Records: []streams.NewRecord{{PartitionKey: "k", Data: []byte(line)}}}
			if _, err := l.Append(ctx, "lines", b); err != nil {
				log.Fatal(err)
			}
		}
	}()

	shard := streams.ShardRef{Stream: "lines", Shard: 0}
	next := streams.Sequence(1)
	for next <= 3 {
		if err := l.Wait(ctx, shard, next); err != nil {
			log.Fatal(err)
		}
		page, err := l.Read(ctx, shard, streams.Position{Kind: streams.At, Seq: next}, streams.Limit{Bytes: 1 << 20})
		if err != nil {
			log.Fatal(err)
		}
		for _, r := range page.Records {
			fmt.Printf("%s\n", r.Data)
		}
		next = page.Next
	}
	// Output:
	// one
	// two
	// three
}

// The position of a consumer can be kept in the log itself, with what the
// consumer made of the records: both in one append, so that a crash leaves
// both or neither, and every record counts exactly once.
func ExampleLog_State() {
	dir := tempDir()
	defer os.RemoveAll(filepath.Dir(dir))
	ctx := context.Background()
	l, err := wal.Open(dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"numbers", "sums"} {
		if _, err := l.Create(ctx, streams.StreamSpec{Name: name, Shards: 1}); err != nil {
			log.Fatal(err)
		}
	}
	b := new(streams.Batch)
	for i := range 10 {
		b.Records = append(b.Records, streams.NewRecord{PartitionKey: "k", Data: []byte(strconv.Itoa(i))})
	}
	if _, err := l.Append(ctx, "numbers", b); err != nil {
		log.Fatal(err)
	}

	// step adds up the next few numbers, and reports whether there were any.
	step := func() bool {
		at, _ := strconv.ParseUint(string(l.State("adder/position")), 10, 64)
		page, err := l.Read(ctx, streams.ShardRef{Stream: "numbers"}, streams.Position{Kind: streams.At, Seq: streams.Sequence(at)}, streams.Limit{Records: 4})
		if err != nil {
			log.Fatal(err)
		}
		if len(page.Records) == 0 {
			return false
		}
		sum := 0
		for _, r := range page.Records {
			n, err := strconv.Atoi(string(r.Data))
			if err != nil {
				log.Fatal(err)
			}
			sum += n
		}
		_, err = l.Append(ctx, "sums", &streams.Batch{
			Records: []streams.NewRecord{{PartitionKey: "k", Data: []byte(strconv.Itoa(sum))}},
			State:   []streams.StateUpdate{{Key: "adder/position", Value: strconv.AppendUint(nil, uint64(page.Next), 10)}},
		})
		if err != nil {
			log.Fatal(err)
		}
		return true
	}

	step()
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}
	if l, err = wal.Open(dir, wal.Options{}); err != nil { // it goes on where it was
		log.Fatal(err)
	}
	defer l.Close()
	for step() {
	}
	page, err := l.Read(ctx, streams.ShardRef{Stream: "sums"}, streams.Position{Kind: streams.Horizon}, streams.Limit{})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range page.Records {
		fmt.Printf("%s\n", r.Data)
	}
	// Output:
	// 6
	// 22
	// 17
}

// readAll reads every record of a stream, those of a key in their order: a
// shard is read to its end before the shards that took over its range.
func readAll(ctx context.Context, l streams.Engine, stream string, each func(streams.Record)) error {
	info, err := l.Describe(stream)
	if err != nil {
		return err
	}
	for _, shard := range info.Shards { // parents have lower ids than their children
		ref := streams.ShardRef{Stream: stream, StreamID: info.ID, Shard: shard.ID}
		at := streams.Position{Kind: streams.Horizon}
		for {
			page, err := l.Read(ctx, ref, at, streams.Limit{})
			if err != nil {
				return err
			}
			for _, r := range page.Records {
				each(r)
			}
			if len(page.Records) == 0 {
				break // Ended if the shard is closed, else there is no more yet
			}
			at = streams.Position{Kind: streams.At, Seq: page.Next}
		}
	}
	return nil
}

// Splits and merges lose no record and no order: the records of a key before
// the change are in the parent, those after it in one of the children.
func ExampleLog_Reshard() {
	dir := tempDir()
	defer os.RemoveAll(filepath.Dir(dir))
	ctx := context.Background()
	l, err := wal.Open(dir, wal.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Create(ctx, streams.StreamSpec{Name: "orders", Shards: 1}); err != nil {
		log.Fatal(err)
	}
	put := func(data string) {
		b := &streams.Batch{Records: []streams.NewRecord{{PartitionKey: "customer-7", Data: []byte(data)}}}
		if _, err := l.Append(ctx, "orders", b); err != nil {
			log.Fatal(err)
		}
	}

	put("ordered")
	if err := l.Reshard(ctx, "orders", 2); err != nil { // one durable change
		log.Fatal(err)
	}
	put("paid")
	if err := l.Reshard(ctx, "orders", 1); err != nil {
		log.Fatal(err)
	}
	put("delivered")

	err = readAll(ctx, l, "orders", func(r streams.Record) { fmt.Printf("%s %s\n", r.PartitionKey, r.Data) })
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// customer-7 ordered
	// customer-7 paid
	// customer-7 delivered
}

// Errors tell what to do: wait and try again, send less, or end.
func ExampleLog_Append() {
	dir := tempDir()
	defer os.RemoveAll(filepath.Dir(dir))
	ctx := context.Background()
	l, err := wal.Open(dir, wal.Options{MinFreeBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()

	_, err = l.Append(ctx, "nobody", &streams.Batch{Records: []streams.NewRecord{{Data: []byte("x")}}})
	switch {
	case err == nil:
		fmt.Println("the record is on the disk")
	case errors.Is(err, streams.ErrFull):
		fmt.Println("to be tried again later, reads and retention go on:", err)
	case errors.Is(err, streams.ErrTooLarge), errors.Is(err, streams.ErrInvalid):
		fmt.Println("this batch never passes:", err)
	case errors.Is(err, streams.ErrNotFound):
		fmt.Println(err)
	case errors.Is(err, streams.ErrReadOnly):
		log.Fatal(err) // a sync failed; only a start can tell what is on the disk
	}
	// Output:
	// stream "nobody": not found
}

// With a key everything that is written is encrypted, and without it nothing
// opens. Zstd makes files smaller once they are full.
func ExampleOpen_encrypted() {
	dir := tempDir()
	defer os.RemoveAll(filepath.Dir(dir))

	secret := make([]byte, wal.KeyBytes) // to be kept where the log is not
	if _, err := rand.Read(secret); err != nil {
		log.Fatal(err)
	}
	key, err := wal.NewKey(secret)
	if err != nil {
		log.Fatal(err)
	}
	l, err := wal.Open(dir, wal.Options{Keys: wal.Keys{Current: key}, Compression: wal.Zstd})
	if err != nil {
		log.Fatal(err)
	}
	if err := l.Close(); err != nil {
		log.Fatal(err)
	}

	_, err = wal.Open(dir, wal.Options{})
	fmt.Println("the key is missing:", errors.Is(err, wal.ErrKey))
	// Output:
	// the key is missing: true
}
