package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/firehosed/firehosed/bench/internal/turns"
	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/wal"
)

// storeSpec is what a worker is told to hold.
type storeSpec struct {
	dir        string
	shards     int
	checkpoint time.Duration
}

// stores are the kinds of store that a worker can hold. Kinds of other
// libraries are in the module baselines.
var stores = map[string]func(storeSpec) (turns.Store, error){
	"wal":       func(s storeSpec) (turns.Store, error) { return openWAL(s, wal.Options{}, streams.Fsync) },
	"interval":  func(s storeSpec) (turns.Store, error) { return openWAL(s, wal.Options{}, streams.Interval) },
	"none":      func(s storeSpec) (turns.Store, error) { return openWAL(s, wal.Options{}, streams.None) },
	"encrypted": openEncrypted,
	"sync":      openSyncFloor,
	"dsync":     openDsyncFloor,
	"group":     openGroupFloor,
	"syncfs":    func(s storeSpec) (turns.Store, error) { return openDirect(s, syncAll) },
	"fdatasync": func(s storeSpec) (turns.Store, error) { return openDirect(s, syncEach) },
}

// serveStore is the process of one store: KIND, then flags. It does the jobs
// that come on its standard input, see package turns.
func serveStore(args []string) error {
	if len(args) == 0 || stores[args[0]] == nil {
		return fmt.Errorf("role %s: no known kind of store in %q", roleStore, args)
	}
	var s storeSpec
	flags := flag.NewFlagSet(roleStore, flag.ExitOnError)
	flags.StringVar(&s.dir, "dir", "", "folder for its files")
	flags.IntVar(&s.shards, "shards", 1, "of the one stream")
	flags.DurationVar(&s.checkpoint, "checkpoint", 0, "of kind wal: how long data rests in the journal only; 0 for its default")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	// An interrupt from the terminal reaches all processes; the end of the
	// input is what ends this one.
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	store, err := stores[args[0]](s)
	if err != nil {
		return err
	}
	return turns.Serve(context.Background(), os.Stdin, os.Stdout, store)
}

// walStore is the log under test, as a library.
type walStore struct {
	log  *wal.Log
	data *turns.Data
}

func openWAL(s storeSpec, opt wal.Options, d streams.Durability) (turns.Store, error) {
	opt.MinFreeBytes, opt.CheckpointInterval = -1, s.checkpoint
	l, err := wal.Open(filepath.Join(s.dir, "log"), opt)
	if err != nil {
		return nil, err
	}
	if _, err := l.Create(context.Background(), streams.StreamSpec{Name: benchStream, Shards: s.shards, Durability: d}); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &walStore{log: l, data: turns.NewData()}, nil
}

func openEncrypted(s storeSpec) (turns.Store, error) {
	key, err := wal.NewKey(bytes.Repeat([]byte{1}, wal.KeyBytes))
	if err != nil {
		return nil, err
	}
	return openWAL(s, wal.Options{Keys: wal.Keys{Current: key}}, streams.Fsync)
}

func (w *walStore) Writer(_, records int) (func(context.Context, int) error, error) {
	batch := &streams.Batch{Records: make([]streams.NewRecord, records)}
	return func(ctx context.Context, i int) error {
		for k := range batch.Records {
			n := i*records + k
			batch.Records[k] = streams.NewRecord{PartitionKey: w.data.Key(n), Data: w.data.Record(n)}
		}
		res, err := w.log.Append(ctx, benchStream, batch)
		batch.Placed = res.Placed
		return err
	}, nil
}

// settleTime is how long a log may take until all is in its segments.
const settleTime = time.Minute

// Settle waits for a checkpoint. What it waits until that begins is no work.
func (w *walStore) Settle() (time.Duration, error) {
	start := time.Now()
	began, first := start, w.log.Stats()
	moved := first.TailBytes == 0 // no telling when it begins
	for {
		st := w.log.Stats()
		if st.TailBytes == 0 && st.JournalBytes < loopFile/1024 { // a mark may have come after it
			return time.Since(began), nil
		}
		if now := time.Now(); !moved {
			began, moved = now, st.TailBytes != first.TailBytes
		} else if now.Sub(start) > settleTime {
			return 0, fmt.Errorf("%d bytes of the journal are not in the segments after %v", st.JournalBytes, settleTime)
		}
		time.Sleep(time.Millisecond)
	}
}

func (w *walStore) Close() error { return w.log.Close() }

const (
	// loopFile is the size of the file that the floor F writes round and round,
	// and growFile where that of D starts over, which no turn should come to.
	loopFile = 64 << 20
	growFile = 8 << 30
	// syncBytes is the size of one write of F.
	syncBytes = 64 << 10
)

// loopStore is the floor of one writer: write after write into one file. The
// records of an append are one write.
type loopStore struct {
	file vfs.File
	size int64 // where it starts over
	grow bool  // the file is empty at the start of a turn, and writes are durable by themselves
	at   int64
	data *turns.Data
}

// openSyncFloor is F: one write and one fdatasync into a file that holds zeros
// already.
func openSyncFloor(s storeSpec) (turns.Store, error) {
	f, err := vfs.OS().OpenFile(filepath.Join(s.dir, "file"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < loopFile; at += int64(len(zeros)) {
		if _, err := f.WriteAt(zeros, at); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	if err := f.Sync(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &loopStore{file: f, size: loopFile, data: turns.NewData()}, nil
}

// openDsyncFloor is D: what "dd bs=1M oflag=dsync" does.
func openDsyncFloor(s storeSpec) (turns.Store, error) {
	f, err := vfs.OS().OpenFile(filepath.Join(s.dir, "file"), os.O_RDWR|os.O_CREATE|writeThrough, 0o600)
	if err != nil {
		return nil, err
	}
	return &loopStore{file: f, size: growFile, grow: true, data: turns.NewData()}, nil
}

func (l *loopStore) Writer(w, records int) (func(context.Context, int) error, error) {
	if w > 0 {
		return nil, errors.New("this floor has one writer")
	}
	buf := make([]byte, 0, records*turns.RecordBytes)
	for i := range records {
		buf = append(buf, l.data.Record(i)...)
	}
	if l.grow {
		l.at = 0
		if err := l.file.Truncate(0); err != nil {
			return nil, err
		}
	}
	return func(context.Context, int) error {
		if l.at+int64(len(buf)) > l.size {
			l.at = 0
		}
		if _, err := l.file.WriteAt(buf, l.at); err != nil {
			return err
		}
		l.at += int64(len(buf))
		if l.grow {
			return nil
		}
		return l.file.Sync()
	}, nil
}

// Settle has nothing to do, as for the other floors.
func (l *loopStore) Settle() (time.Duration, error) { return 0, nil }

func (l *loopStore) Close() error { return l.file.Close() }

// groupStore is the floor of many writers: that of the servers, without HTTP.
type groupStore struct {
	*floor
	data *turns.Data
	stop context.CancelFunc
	done chan struct{}
}

func openGroupFloor(s storeSpec) (turns.Store, error) {
	f, err := newFloor(filepath.Join(s.dir, "file"))
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	g := &groupStore{floor: f, data: turns.NewData(), stop: stop, done: make(chan struct{})}
	go func() {
		defer close(g.done)
		f.commit(ctx)
	}()
	return g, nil
}

func (g *groupStore) Writer(_, records int) (func(context.Context, int) error, error) {
	buf := make([]byte, records*turns.RecordBytes)
	return func(_ context.Context, i int) error {
		for k := range records {
			copy(buf[k*turns.RecordBytes:], g.data.Record(i*records+k))
		}
		return g.append(buf)
	}, nil
}

func (g *groupStore) Settle() (time.Duration, error) { return 0, nil }

func (g *groupStore) Close() error {
	g.stop()
	<-g.done
	return g.file.Close()
}
