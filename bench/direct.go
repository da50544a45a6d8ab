package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/firehosed/firehosed/bench/internal/turns"
)

// The experiment of decision 7: a log without a journal. Every append goes
// straight to the files of its shards, and a group of appends is acknowledged
// when all files it touched are durable. Groups form as in streams/wal: while
// one is written and synced, the next one fills.
//
// It is a log in earnest only as far as its costs go: frames have a header and
// a checksum, a group is one write to each shard's file, and nothing is kept in
// memory for readers, no index made and no file rolled. All of that would come
// on top, so the comparison flatters it.

const (
	directHead  = 32      // of a frame, as long as the fields of one of streams/wal need
	directGroup = 4 << 20 // where a group stops growing, as in streams/wal
	// directSyncs is how many fdatasyncs run at a time.
	directSyncs = 64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// syncPolicy makes the files of a group durable.
type syncPolicy func(d *direct, touched []int) error

// syncAll is one syncfs, which flushes the whole file system.
func syncAll(d *direct, _ []int) error { return syncFileSystem(d.dir) }

// syncEach is an fdatasync of each file, many at a time.
func syncEach(d *direct, touched []int) error {
	var running sync.WaitGroup
	errs := make([]error, min(directSyncs, len(touched)))
	for k := range errs {
		running.Go(func() {
			for i := k; i < len(touched); i += len(errs) {
				errs[k] = errors.Join(errs[k], dataSync(d.files[touched[i]].file))
			}
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

type direct struct {
	dir   *os.File
	files []directFile
	sync  syncPolicy
	data  *turns.Data
	work  chan struct{}
	end   chan struct{}
	ended chan struct{}
	spare *directBatch // of commit: the one that is not filled or written

	mu   sync.Mutex
	cur  *directBatch
	room *sync.Cond // cur has room again
}

type directFile struct {
	file *os.File
	size int64
	next uint64 // sequence; guarded by direct.mu
}

// directBatch is a group: the frames of each shard it has any for.
type directBatch struct {
	parts   [][]byte // by shard
	touched []int
	size    int
	ack     *directAck
}

// directAck outlives the buffers of its group, which are used again.
type directAck struct {
	done chan struct{}
	err  error
}

func openDirect(s storeSpec, policy syncPolicy) (_ turns.Store, err error) {
	d := &direct{
		files: make([]directFile, s.shards), sync: policy, data: turns.NewData(),
		work: make(chan struct{}, 1), end: make(chan struct{}), ended: make(chan struct{}),
	}
	d.room = sync.NewCond(&d.mu)
	d.cur, d.spare = d.newBatch(), d.newBatch()
	defer func() {
		if err != nil {
			err = errors.Join(err, d.closeFiles())
		}
	}()
	for i := range d.files {
		if d.files[i].file, err = os.Create(filepath.Join(s.dir, fmt.Sprintf("%05d.seg", i))); err != nil {
			return nil, err
		}
	}
	if d.dir, err = os.Open(s.dir); err != nil {
		return nil, err
	}
	if err := d.dir.Sync(); err != nil {
		return nil, err
	}
	go d.commit()
	return d, nil
}

func (d *direct) newBatch() *directBatch {
	return &directBatch{parts: make([][]byte, len(d.files)), ack: &directAck{done: make(chan struct{})}}
}

// empty makes a written group one that can be filled.
func (b *directBatch) empty() {
	for _, i := range b.touched {
		b.parts[i] = b.parts[i][:0]
	}
	b.touched, b.size, b.ack = b.touched[:0], 0, &directAck{done: make(chan struct{})}
}

// Writer encodes what it appends, one frame for each shard, before it takes the
// lock.
func (d *direct) Writer(_, records int) (func(context.Context, int) error, error) {
	parts := make([][]byte, len(d.files))
	var touched []int
	var free [][]byte
	var head [directHead]byte
	return func(_ context.Context, i int) error {
		touched = touched[:0]
		for k := range records {
			n := i*records + k
			key := d.data.Key(n)
			shard := int(crc32.Checksum([]byte(key), castagnoli)) % len(d.files)
			p := parts[shard]
			if p == nil {
				touched = append(touched, shard)
				if n := len(free); n > 0 {
					p, free = free[n-1], free[:n-1]
				}
				p = append(p, head[:]...)
			}
			p = binary.AppendUvarint(p, uint64(len(key)))
			p = append(p, key...)
			p = binary.AppendUvarint(p, turns.RecordBytes)
			parts[shard] = append(p, d.data.Record(n)...)
		}
		for _, shard := range touched {
			p := parts[shard]
			binary.LittleEndian.PutUint32(p, uint32(len(p)-directHead)) //nolint:gosec // A frame is small.
			binary.LittleEndian.PutUint32(p[4:], crc32.Checksum(p[directHead:], castagnoli))
		}
		err := d.append(parts, touched)
		for _, shard := range touched {
			free, parts[shard] = append(free, parts[shard][:0]), nil
		}
		return err
	}, nil
}

// append adds frames to the group that fills and waits until it is durable.
func (d *direct) append(parts [][]byte, touched []int) error {
	d.mu.Lock()
	for d.cur.size >= directGroup {
		d.room.Wait()
	}
	b := d.cur
	for _, shard := range touched {
		p, f := parts[shard], &d.files[shard]
		binary.LittleEndian.PutUint64(p[8:], f.next)
		binary.LittleEndian.PutUint32(p[28:], crc32.Checksum(p[:28], castagnoli))
		f.next++
		if len(b.parts[shard]) == 0 {
			b.touched = append(b.touched, shard)
		}
		b.parts[shard] = append(b.parts[shard], p...)
		b.size += len(p)
	}
	ack := b.ack
	d.mu.Unlock()
	select {
	case d.work <- struct{}{}:
	default:
	}
	<-ack.done
	return ack.err
}

// commit writes groups until the store is closed.
func (d *direct) commit() {
	defer close(d.ended)
	for {
		select {
		case <-d.work:
		case <-d.end:
			return
		}
		d.mu.Lock()
		b := d.cur
		if b.size == 0 {
			d.mu.Unlock()
			continue
		}
		d.cur = d.spare
		d.mu.Unlock()
		d.room.Broadcast()
		b.ack.err = d.write(b)
		close(b.ack.done)
		b.empty()
		d.spare = b
	}
}

func (d *direct) write(b *directBatch) error {
	for _, i := range b.touched {
		f := &d.files[i]
		if _, err := f.file.WriteAt(b.parts[i], f.size); err != nil {
			return err
		}
		f.size += int64(len(b.parts[i]))
	}
	return d.sync(d, b.touched)
}

// Settle has nothing to do: all is where it stays when it is acknowledged.
func (d *direct) Settle() (time.Duration, error) { return 0, nil }

func (d *direct) Close() error {
	close(d.end)
	<-d.ended
	return d.closeFiles()
}

func (d *direct) closeFiles() error {
	var errs []error
	for _, f := range d.files {
		if f.file != nil {
			errs = append(errs, f.file.Close())
		}
	}
	if d.dir != nil {
		errs = append(errs, d.dir.Close())
	}
	return errors.Join(errs...)
}
