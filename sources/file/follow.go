package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/firehosed/firehosed/streams"
)

// followed is an open file.
type followed struct {
	cursor
	f      *os.File
	key    string // of the log's state
	prefix prefix
	size   int64
	// matched is true while the path leads to this file and the patterns match
	// it. A file that was renamed away or removed is read to its end and closed.
	matched bool
	grown   time.Time // when it last had something new
	left    time.Time // when it was first found not matched; zero while it is
	next    cursor    // after the batch that is being made
	saved   bool      // the log's state has the cursor
}

// turn reads a batch from the files in turn and appends it. It reports whether
// there may be more to read at once.
func (s *Source) turn(ctx context.Context) (more bool, err error) {
	b := &streams.Batch{}
	var touched []*followed
	used, cut, size := 0, 0, int64(0)
	behind := int64(0)
	for _, f := range s.files {
		window := s.sp.window()
		if used+window > len(s.buf) || len(b.Records) >= streams.MaxBatchRecords/2 {
			more = true
			break
		}
		got, err := s.read(f, s.buf[used:used+window])
		if err != nil {
			s.complain(f.Path, err)
			continue
		}
		delete(s.unread, f.Path)
		if got.chunk == nil {
			if f.saved || f.Offset == 0 {
				continue
			}
		}
		got.ask.room = streams.MaxBatchRecords - len(b.Records)
		pieces, consumed, skip := s.sp.split(got.chunk, got.ask)
		for _, p := range pieces {
			b.Records = append(b.Records, streams.NewRecord{PartitionKey: partitionKey(f.Path), Data: p.data})
			size += int64(len(p.data))
			if p.cut {
				cut++
			}
		}
		f.next = f.cursor
		f.next.Offset += int64(consumed)
		f.next.Skip = skip
		behind += max(f.size-f.next.Offset, 0)
		if f.next == f.cursor && f.saved {
			continue
		}
		if consumed > 0 {
			more = true
			used += consumed
		}
		touched = append(touched, f)
		b.State = append(b.State, streams.StateUpdate{Key: f.key, Value: f.next.encode()})
	}
	s.stats.Behind.Store(behind)
	s.stats.Unread.Store(int64(len(s.unread)))
	if len(b.State) == 0 {
		return false, nil
	}
	// The offsets and the lines up to them are one durable unit: a kill before
	// or after leaves both or neither. Guarded by TestKillAnywhere.
	if _, err := s.opt.Log.Append(ctx, s.opt.Stream, b); err != nil {
		return false, err
	}
	for _, f := range touched {
		f.cursor, f.saved = f.next, true
	}
	s.rotate()
	s.stats.Records.Add(int64(len(b.Records)))
	s.stats.Bytes.Add(size)
	s.stats.Cut.Add(int64(cut))
	return more, nil
}

// rotate puts the file that was read first last, so that a busy file does not
// keep others waiting.
func (s *Source) rotate() {
	if len(s.files) > 1 {
		s.files = append(s.files[1:], s.files[0])
	}
}

type reading struct {
	chunk []byte
	ask   ask
}

// read reads what follows the cursor, after making sure that it still is the
// file the cursor was made for.
func (s *Source) read(f *followed, buf []byte) (reading, error) {
	_, _, size, err := identify(f.f)
	if err != nil {
		return reading{}, err
	}
	if size != f.size {
		f.grown = s.opt.Clock()
	}
	f.size = size
	if size < f.Offset {
		return reading{}, s.truncated(f, "is shorter than what was read")
	}
	if size == f.Offset && size == int64(f.Prefix) {
		return reading{}, nil
	}
	if size == f.Offset {
		return reading{}, s.extendPrefix(f)
	}
	buf = buf[:min(int64(len(buf)), size-f.Offset)]
	n, err := f.f.ReadAt(buf, f.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return reading{}, fmt.Errorf("read %s at %d: %w", f.Path, f.Offset, err)
	}
	// Checked after reading: a file that was truncated and has grown again
	// meanwhile must not lend its bytes to the old lines.
	if err := s.extendPrefix(f); err != nil {
		return reading{}, err
	}
	atEnd := f.Offset+int64(n) >= size
	a := ask{skip: f.Skip, full: n == s.sp.window()}
	a.final = atEnd && !f.matched && s.over(f)
	if m := s.opt.Multiline; m != nil {
		timeout := m.Timeout
		set(&timeout, time.Second)
		a.quiet = atEnd && s.opt.Clock().Sub(f.grown) >= timeout
	}
	return reading{chunk: buf[:n], ask: a}, nil
}

// errRewritten makes a turn leave a file alone until its new beginning was
// taken in.
var errRewritten = errors.New("file was rewritten")

// extendPrefix checks that the file begins as it did and takes in more of its
// first bytes while they are few.
func (s *Source) extendPrefix(f *followed) error {
	if len(f.prefix) == maxPrefix || int64(len(f.prefix)) == f.size {
		ok, err := f.prefix.unchanged(f.f)
		if err != nil || ok {
			return err
		}
		return s.truncated(f, "begins with other bytes than before")
	}
	now, err := readPrefix(f.f, maxPrefix)
	if err != nil {
		return fmt.Errorf("read %s: %w", f.Path, err)
	}
	if len(now) < len(f.prefix) || string(now[:len(f.prefix)]) != string(f.prefix) {
		return s.truncated(f, "begins with other bytes than before")
	}
	if len(now) > len(f.prefix) {
		f.prefix = now
		f.Prefix, f.Hash = len(now), now.hash()
		f.saved = false
	}
	return nil
}

// truncated begins a file anew that was truncated in place (copytruncate) or
// rewritten. Lines that were written and truncated between two reads are lost
// to everyone; how many nobody can know.
func (s *Source) truncated(f *followed, how string) error {
	s.stats.Truncated.Add(1)
	s.log.Warn("file was truncated; it is read from its start", "path", f.Path, "why", how, "offset", f.Offset, "size", f.size)
	f.Offset, f.Skip, f.Prefix, f.Hash, f.prefix, f.saved = 0, false, 0, "", nil, false
	return errRewritten
}

// complain says what is wrong with a path, once.
func (s *Source) complain(path string, err error) {
	if errors.Is(err, errRewritten) {
		return
	}
	if s.unread[path] == err.Error() {
		return
	}
	s.unread[path] = err.Error()
	hint := ""
	if errors.Is(err, fs.ErrPermission) {
		hint = "give the user that runs firehosed the right to read it, or exclude it"
	}
	s.log.Error("file cannot be read; it is tried again", "path", path, "error", err, "hint", hint)
}

// over reports whether nothing came for CloseAfter. Whoever writes a file may
// have been quiet for long before it is renamed, and writes on until it opens
// the next one: the time begins anew when the file leaves its place.
func (s *Source) over(f *followed) bool {
	since := f.grown
	if f.left.After(since) {
		since = f.left
	}
	return s.opt.Clock().Sub(since) >= s.opt.CloseAfter
}

// spent reports whether nothing of a file is left to read, and nothing came
// for CloseAfter.
func (s *Source) spent(f *followed) bool {
	if !f.saved || f.Offset < f.size || !s.over(f) {
		return false
	}
	// The process may have been stopped since it last read the file, and others
	// wrote meanwhile.
	_, _, size, err := identify(f.f)
	return err == nil && size == f.size
}

// close closes a file and keeps its position.
func (s *Source) close(f *followed) {
	_ = f.f.Close() // was only read
	s.known[f.key] = f.cursor
	for i, g := range s.files {
		if g == f {
			s.files = append(s.files[:i:i], s.files[i+1:]...)
			break
		}
	}
	s.stats.Open.Store(int64(len(s.files)))
}

func (s *Source) closeAll() {
	for _, f := range s.files {
		_ = f.f.Close() // was only read
	}
	s.files = nil
	s.stats.Open.Store(0)
}

// partitionKey names the file a line came from; keys have at most 256
// characters in Kinesis.
func partitionKey(path string) string {
	if len(path) <= 256 {
		return path
	}
	return strings.ToValidUTF8(path[len(path)-256:], "")
}
