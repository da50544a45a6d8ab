package wal

import (
	"context"

	"github.com/firehosed/firehosed/streams"
)

// Wait implements streams.Engine.
func (l *Log) Wait(ctx context.Context, ref streams.ShardRef, from streams.Sequence) error {
	s, _, err := l.resolve(ref)
	if err != nil {
		return err
	}
	for {
		s.mu.Lock()
		if s.gone {
			s.mu.Unlock()
			return s.wrap(streams.ErrNotFound)
		}
		if s.next > from || s.ended || s.suspect != nil {
			s.mu.Unlock()
			return nil
		}
		if s.notify == nil {
			s.notify = make(chan struct{})
		}
		notify := s.notify
		s.mu.Unlock()
		select {
		case <-notify:
		case <-ctx.Done():
			return ctx.Err()
		case <-l.stop:
			return streams.ErrClosed
		}
	}
}
