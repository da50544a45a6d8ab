package delivery

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/firehosed/firehosed/buffer"
	"github.com/firehosed/firehosed/streams"
)

// State of a delivery stream.
type State string

// The states.
const (
	Starting State = "starting"
	Waiting  State = "waiting" // for the source stream to be created
	Filling  State = "filling"
	Writing  State = "writing"
	Stalled  State = "stalled" // a destination is down; see Error
	Stopped  State = "stopped"
)

// Metrics count since the start of the process. They may be read at any time.
type Metrics struct {
	Delivered atomic.Int64 // records in objects and documents
	Dropped   atomic.Int64 // records dropped by a transform
	Expired   atomic.Int64 // records that expired before they were delivered
	Objects   atomic.Int64
	Bytes     atomic.Int64 // stored, after compression
	Retries   atomic.Int64 // tries that failed

	mu     sync.Mutex
	byType map[string]*atomic.Int64
}

func (m *Metrics) failed(typ string) *atomic.Int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byType == nil {
		m.byType = map[string]*atomic.Int64{}
	}
	if m.byType[typ] == nil {
		m.byType[typ] = new(atomic.Int64)
	}
	return m.byType[typ]
}

// Failed returns how many records went to each folder of the error output.
func (m *Metrics) Failed() map[string]int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]int64, len(m.byType))
	for typ, n := range m.byType {
		out[typ] = n.Load()
	}
	return out
}

// Metrics returns the counters of the stream.
func (s *Stream) Metrics() *Metrics { return &s.metrics }

// Status is what a delivery stream is doing.
type Status struct {
	Name  string    `json:"name"`
	State State     `json:"state"`
	Since time.Time `json:"since"`
	Error string    `json:"error,omitempty"` // of a stalled or waiting stream
	// Lag is what is in the log and not delivered yet.
	LagRecords    int64     `json:"lag_records"`
	LagBytes      int64     `json:"lag_bytes"`
	Oldest        time.Time `json:"oldest,omitzero"` // arrival of the oldest undelivered record
	BufferRecords int64     `json:"buffer_records"`  // in the open buffer
	BufferBytes   int64     `json:"buffer_bytes"`
	BufferCloses  time.Time `json:"buffer_closes,omitzero"`
	LastObject    string    `json:"last_object,omitempty"`
	LastDelivery  time.Time `json:"last_delivery,omitzero"`
}

// Status returns what the stream is doing. It asks the log for the lag.
func (s *Stream) Status() Status {
	st := s.status.get()
	st.Name = s.opt.Name
	info, err := s.opt.Log.Describe(s.opt.Source)
	if err != nil {
		return st
	}
	pos := s.currentPosition()
	for _, sh := range info.Shards {
		from := sh.First
		if pos != nil && pos.StreamID == info.ID {
			at, begun := pos.Shards[sh.ID]
			if at.Ended {
				continue
			}
			if begun {
				from = max(from, at.Next)
			}
		} else if pos == nil && s.opt.Start == streams.Tip {
			continue
		}
		lag, err := s.opt.Log.Stat(streams.ShardRef{Stream: info.Name, StreamID: info.ID, Shard: sh.ID}, from)
		if err != nil || lag.Records == 0 {
			continue
		}
		st.LagRecords += lag.Records
		st.LagBytes += lag.Bytes
		if st.Oldest.IsZero() || lag.Oldest.Before(st.Oldest) {
			st.Oldest = lag.Oldest
		}
	}
	return st
}

// statusKeeper holds the part of a Status that Run knows.
type statusKeeper struct {
	mu sync.Mutex
	st Status
}

func (k *statusKeeper) set(state State, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.st.State != state {
		k.st.Since = time.Now().UTC()
	}
	k.st.State = state
	k.st.Error = ""
	if err != nil {
		k.st.Error = err.Error()
	}
	if state != Filling {
		k.st.BufferRecords, k.st.BufferBytes, k.st.BufferCloses = 0, 0, time.Time{}
	}
}

func (k *statusKeeper) filling(b *buffer.Buffer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.st.BufferRecords, k.st.BufferBytes = b.Records(), b.Bytes()
	k.st.BufferCloses, _ = b.Deadline()
}

func (k *statusKeeper) delivered(object string, at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.st.LastDelivery = at.UTC()
	if object != "" {
		k.st.LastObject = object
	}
}

func (k *statusKeeper) get() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.st
}
