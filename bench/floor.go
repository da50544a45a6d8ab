package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/internal/vfs"
)

const (
	// floorFile is the size of the file that the floor writes round and round.
	// It is filled with zeros first, so that a sync has no blocks to allocate.
	floorFile = 128 << 20
	// floorGroup is how much one group holds: more than 64 requests of 500
	// records are.
	floorGroup = 64 << 20
	// floorBlock is where groups begin: a write to a page that is on its way
	// to the disk waits for it.
	floorBlock = 4096
)

// floor is what every durable server has to do: it reads bodies and appends
// them to a file, with one write and one fdatasync for all requests that came
// while the last sync ran. It understands nothing of what it stores.
type floor struct {
	file vfs.File
	at   int64
	work chan struct{}

	mu  sync.Mutex
	cur *floorBatch

	spare  []byte // of the batch that is not being filled; for commit alone
	bodies sync.Pool
}

// floorBatch is a group of requests.
type floorBatch struct {
	buf    []byte
	used   int
	copies sync.WaitGroup
	done   chan struct{}
	err    error
}

func newFloor(name string) (*floor, error) {
	file, err := vfs.OS().OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < floorFile; at += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros, at); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	if err := file.Sync(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	f := &floor{
		file: file, work: make(chan struct{}, 1),
		cur:   &floorBatch{buf: make([]byte, floorGroup), done: make(chan struct{})},
		spare: make([]byte, floorGroup),
	}
	f.bodies.New = func() any { return new([]byte) }
	return f, nil
}

// ServeHTTP answers when the body is durable.
func (f *floor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength < 0 || r.ContentLength > floorGroup {
		http.Error(w, "the floor wants a Content-Length", http.StatusLengthRequired)
		return
	}
	p := f.bodies.Get().(*[]byte) //nolint:forcetypeassert // The only type in the pool.
	defer f.bodies.Put(p)
	if int64(cap(*p)) < r.ContentLength {
		*p = make([]byte, r.ContentLength)
	}
	body := (*p)[:r.ContentLength]
	if _, err := io.ReadFull(r.Body, body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := f.append(body); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusOK)
}

var errFloorFull = errors.New("more requests at once than a group of the floor holds")

func (f *floor) append(body []byte) error {
	f.mu.Lock()
	g := f.cur
	off := g.used
	if off+len(body) > len(g.buf) {
		f.mu.Unlock()
		return errFloorFull
	}
	g.used += len(body)
	g.copies.Add(1)
	f.mu.Unlock()
	copy(g.buf[off:], body)
	g.copies.Done()
	select {
	case f.work <- struct{}{}:
	default:
	}
	<-g.done
	return g.err
}

// commit writes groups until ctx ends.
func (f *floor) commit(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.work:
		}
		f.mu.Lock()
		g := f.cur
		if g.used == 0 {
			f.mu.Unlock()
			continue
		}
		f.cur = &floorBatch{buf: f.spare, done: make(chan struct{})}
		f.mu.Unlock()

		g.copies.Wait()
		size := int64(g.used+floorBlock-1) &^ (floorBlock - 1)
		if f.at+size > floorFile {
			f.at = 0
		}
		_, err := f.file.WriteAt(g.buf[:size], f.at)
		if err == nil {
			err = f.file.Sync()
		}
		f.at += size
		f.spare = g.buf
		g.err = err
		close(g.done)
	}
}

// serveFloor is the process of the floor. It prints its address and serves
// until it is told to stop. Its server is set up as that of firehosed.
func serveFloor(args []string) error {
	flags := flag.NewFlagSet(roleFloor, flag.ExitOnError)
	name := flags.String("file", "", "file to write")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	f, err := newFloor(*name)
	if err != nil {
		return err
	}
	defer f.file.Close()
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := wire.NewServer(withBytes(withEcho(f)), nil)
	var running sync.WaitGroup
	running.Go(func() { f.commit(ctx) })
	running.Go(func() {
		<-ctx.Done()
		_ = server.Close()
	})
	fmt.Println("http://" + listener.Addr().String())
	err = server.Serve(listener)
	stop()
	running.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
