package delivery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// Set runs delivery streams that come and go. Its methods may be called
// concurrently.
type Set struct {
	fail func(error) // told when a stream ends with an error

	mu      sync.Mutex
	ctx     context.Context //nolint:containedctx // of Run; streams added later live as long
	waiting []*member
	members map[string]*member
}

type member struct {
	stream *Stream
	cancel context.CancelFunc
	done   chan struct{}
}

// NewSet returns an empty set. fail is told, on a goroutine of the set, of
// each stream that ended with an error.
func NewSet(fail func(error)) *Set {
	return &Set{fail: fail, members: map[string]*member{}}
}

// Add runs a stream from the time Run is called on, or at once.
func (s *Set) Add(st *Stream) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members[st.Name()] != nil {
		return fmt.Errorf("delivery stream %s is running already", st.Name())
	}
	m := &member{stream: st, done: make(chan struct{})}
	s.members[st.Name()] = m
	if s.ctx == nil {
		s.waiting = append(s.waiting, m)
		return nil
	}
	s.start(m)
	return nil
}

// start is called with the lock held.
func (s *Set) start(m *member) {
	ctx, cancel := context.WithCancel(s.ctx)
	m.cancel = cancel
	go func() {
		defer close(m.done)
		defer cancel()
		if err := m.stream.Run(ctx); err != nil {
			s.fail(err)
		}
	}()
}

// Remove stops a stream and waits until it has ended; false if there is none.
func (s *Set) Remove(name string) bool {
	s.mu.Lock()
	m := s.members[name]
	delete(s.members, name)
	s.waiting = slices.DeleteFunc(s.waiting, func(w *member) bool { return w == m })
	s.mu.Unlock()
	if m == nil {
		return false
	}
	if m.cancel != nil {
		m.cancel()
		<-m.done
	}
	return true
}

// Get returns a stream, or nil.
func (s *Set) Get(name string) *Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.members[name]; m != nil {
		return m.stream
	}
	return nil
}

// All returns the streams by name.
func (s *Set) All() []*Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Stream, 0, len(s.members))
	for _, m := range s.members {
		out = append(out, m.stream)
	}
	slices.SortFunc(out, func(a, b *Stream) int { return strings.Compare(a.Name(), b.Name()) })
	return out
}

// Run runs the streams until ctx ends, and returns when all have ended.
func (s *Set) Run(ctx context.Context) error {
	s.mu.Lock()
	s.ctx = ctx
	for _, m := range s.waiting {
		s.start(m)
	}
	s.waiting = nil
	s.mu.Unlock()
	<-ctx.Done()
	s.mu.Lock()
	members := make([]*member, 0, len(s.members))
	for _, m := range s.members {
		members = append(members, m)
	}
	s.mu.Unlock()
	for _, m := range members {
		<-m.done
	}
	return nil
}
