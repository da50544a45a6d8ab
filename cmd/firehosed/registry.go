package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/firehosed/firehosed/api/firehose"
	"github.com/firehosed/firehosed/config"
	"github.com/firehosed/firehosed/delivery"
	"github.com/firehosed/firehosed/streams"
)

// registry is the delivery streams of the daemon as the Firehose API sees
// them: those of the file, and those that calls have made, which live in the
// log's state.
type registry struct {
	n       *node
	changes sync.Mutex // one creation or deletion at a time

	mu   sync.RWMutex
	made map[string]*madeStream
}

var _ firehose.DeliveryStreams = (*registry)(nil)

// madeStream is a delivery stream that a call has made.
type madeStream struct {
	record  madeRecord
	def     firehose.Definition
	source  string // the internal stream, or the stream it reads
	built   *built
	failure string // why it could not be started, if so
}

// madeRecord is what the log's state holds of it.
type madeRecord struct {
	Version    int             `json:"v"`
	Created    time.Time       `json:"created"`
	Definition json.RawMessage `json:"definition"`
}

const (
	madePrefix        = "api/delivery-stream/"
	madeRecordVersion = 1
)

func newRegistry(n *node) *registry {
	return &registry{n: n, made: map[string]*madeStream{}}
}

// id tells a delivery stream from one that had its name before.
func (m *madeStream) id() string {
	return fmt.Sprintf("%s@%d", m.def.Name, m.record.Created.UnixMilli())
}

// load starts the delivery streams that calls made before this start. One
// that cannot be carried out any more stays, and says why.
func (r *registry) load(ctx context.Context) error {
	for key, value := range r.n.engine.StateAll(madePrefix) {
		m := &madeStream{}
		if err := json.Unmarshal(value, &m.record); err != nil {
			return fmt.Errorf("state %s: %w", key, err)
		}
		if m.record.Version > madeRecordVersion {
			return fmt.Errorf("state %s was written by a newer version of firehosed", key)
		}
		var err error
		if m.def, err = firehose.ParseDefinition(m.record.Definition); err != nil {
			return fmt.Errorf("state %s: %w", key, err)
		}
		if r.n.cfg.DeliveryStreams[m.def.Name] != nil {
			r.n.log.Warn("delivery stream made by a call is hidden by one of the same name in the file", "delivery_stream", m.def.Name)
			continue
		}
		if err := r.start(ctx, m); err != nil {
			m.failure = err.Error()
			r.n.log.Error("delivery stream made by a call cannot be started", "delivery_stream", m.def.Name, "error", err)
		}
		r.made[m.def.Name] = m
	}
	return nil
}

// start builds a made delivery stream and sets it going.
func (r *registry) start(ctx context.Context, m *madeStream) error {
	d, err := r.describe(m)
	if err != nil {
		return err
	}
	var problems []error
	b := &builder{
		ctx: ctx, logger: r.n.log, name: m.def.Name, region: r.n.cfg.Region, arn: deliveryStreamARN(r.n.cfg, m.def.Name),
		problem: func(err error, elem ...any) {
			problems = append(problems, fmt.Errorf("%s: %w", config.Path(elem...), err))
		},
	}
	if m.def.Source != nil {
		b.sourceARN = m.def.Source.StreamARN
	}
	built := b.build(d)
	if err := errors.Join(problems...); err != nil {
		_ = built.close() // nothing was started
		return fmt.Errorf("%w: %w", firehose.ErrInvalid, err)
	}
	built.opt.StateID = m.id()
	if m.def.Type == firehose.DirectPut {
		built.opt.Source = ownStream(m.id())
		err := r.n.ensureStream(ctx, built.opt.Source, 1, built.opt.HoldRetention)
		if err == nil {
			err = r.n.ensureDurability(ctx, built.opt.Source, r.n.cfg.API.Durability)
		}
		if err != nil {
			return errors.Join(err, built.close())
		}
	}
	m.source, m.built = built.opt.Source, built
	if err := r.n.addDelivery(built); err != nil {
		return errors.Join(err, built.close())
	}
	return nil
}

// Create makes a delivery stream, which survives a restart.
func (r *registry) Create(ctx context.Context, def firehose.Definition) error {
	r.changes.Lock()
	defer r.changes.Unlock()
	if _, ok := r.Get(def.Name); ok {
		return firehose.ErrExists
	}
	m := &madeStream{def: def, record: madeRecord{Version: madeRecordVersion, Created: time.Now().UTC(), Definition: def.Raw}}
	value, err := json.Marshal(m.record)
	if err != nil {
		return fmt.Errorf("definition: %w", err)
	}
	if len(value) > streams.MaxStateValueBytes {
		return fmt.Errorf("%w: definition has %d bytes, more than %d", firehose.ErrInvalid, len(value), streams.MaxStateValueBytes)
	}
	// Recorded only when it works; a crash in between leaves an empty internal
	// stream that nobody reads.
	if err := r.start(ctx, m); err != nil {
		return err
	}
	if err := r.setState(ctx, streams.StateUpdate{Key: madePrefix + def.Name, Value: value}); err != nil {
		r.stop(ctx, m)
		return err
	}
	r.mu.Lock()
	r.made[def.Name] = m
	r.mu.Unlock()
	return nil
}

// Delete ends a delivery stream and forgets it and what it has not delivered.
func (r *registry) Delete(ctx context.Context, name string) error {
	r.changes.Lock()
	defer r.changes.Unlock()
	if r.n.cfg.DeliveryStreams[name] != nil {
		return firehose.ErrDeclared
	}
	r.mu.Lock()
	m := r.made[name]
	delete(r.made, name)
	r.mu.Unlock()
	if m == nil {
		return firehose.ErrNotFound
	}
	gone := []streams.StateUpdate{{Key: madePrefix + name}}
	for _, key := range delivery.StateKeys(m.id()) {
		gone = append(gone, streams.StateUpdate{Key: key})
	}
	r.n.deliveries.Remove(name)
	if err := r.setState(ctx, gone...); err != nil {
		return err
	}
	r.stop(ctx, m)
	return nil
}

// stop takes a delivery stream down and removes its own stream.
func (r *registry) stop(ctx context.Context, m *madeStream) {
	r.n.deliveries.Remove(m.def.Name)
	if m.built != nil {
		if err := m.built.close(); err != nil {
			r.n.log.Warn("parts of a delivery stream did not close", "delivery_stream", m.def.Name, "error", err)
		}
	}
	if m.def.Type != firehose.DirectPut {
		return
	}
	if err := r.n.engine.Delete(ctx, ownStream(m.id())); err != nil && !errors.Is(err, streams.ErrNotFound) {
		r.n.log.Warn("stream of a deleted delivery stream is left behind", "delivery_stream", m.def.Name, "error", err)
	}
}

func (r *registry) setState(ctx context.Context, updates ...streams.StateUpdate) error {
	if _, err := r.n.engine.Append(ctx, "", &streams.Batch{State: updates}); err != nil {
		return fmt.Errorf("state of delivery streams: %w", err)
	}
	return nil
}

// Get describes a delivery stream.
func (r *registry) Get(name string) (firehose.Description, bool) {
	if d := r.n.cfg.DeliveryStreams[name]; d != nil {
		return r.declared(name, d), true
	}
	r.mu.RLock()
	m := r.made[name]
	r.mu.RUnlock()
	if m == nil {
		return firehose.Description{}, false
	}
	desc := firehose.Description{
		Definition: m.def, Status: "ACTIVE", Version: 1, Created: m.record.Created, Updated: m.record.Created,
	}
	if m.def.Source != nil {
		desc.DeliveryStart = m.record.Created
	}
	if m.failure != "" {
		desc.Status, desc.FailureType, desc.FailureDetails = "CREATING_FAILED", "UNKNOWN_ERROR", m.failure
	}
	return desc, true
}

// Names returns the names of all delivery streams.
func (r *registry) Names() []string {
	r.mu.RLock()
	defer r.mu.RUnlock()
	names := make([]string, 0, len(r.made)+len(r.n.cfg.DeliveryStreams))
	for name := range r.made {
		names = append(names, name)
	}
	for name := range r.n.cfg.DeliveryStreams {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Put appends to the internal stream of a delivery stream.
func (r *registry) Put(ctx context.Context, name string, records [][]byte) (streams.Result, error) {
	source := ""
	if d := r.n.cfg.DeliveryStreams[name]; d != nil {
		if d.Source.DirectPut == nil {
			return streams.Result{}, firehose.ErrNotDirectPut
		}
		source = ownStream(name)
	} else {
		r.mu.RLock()
		m := r.made[name]
		r.mu.RUnlock()
		switch {
		case m == nil:
			return streams.Result{}, firehose.ErrNotFound
		case m.def.Type != firehose.DirectPut:
			return streams.Result{}, firehose.ErrNotDirectPut
		case m.failure != "":
			return streams.Result{}, firehose.ErrBusy
		}
		source = m.source
	}
	b := &streams.Batch{Records: make([]streams.NewRecord, len(records))}
	for i, data := range records {
		b.Records[i].Data = data
	}
	return r.n.engine.Append(ctx, source, b)
}

// close releases the parts of made delivery streams, after they have ended.
func (r *registry) close() {
	for _, m := range r.made {
		if m.built != nil {
			_ = m.built.close() // nobody uses them any more
		}
	}
}
