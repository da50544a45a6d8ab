package cloudwatch

import (
	"container/list"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

// Defaults of Options.
const (
	DefaultMaxSeries     = 10_000
	DefaultMaxNamesBytes = 8 << 20
	DefaultIdle          = 15 * time.Minute
)

// window is the time over which extremes are kept: those of a series are of the
// present window and the one before.
const window = time.Minute

// Options of Metrics.
type Options struct {
	// MaxSeries is how many series there may be at one time; 0 means 10,000.
	MaxSeries int
	// MaxNamesBytes bounds the bytes of their namespaces, names and dimensions;
	// 0 means 8 MiB.
	MaxNamesBytes int
	// Idle is how long a series stays without a new value; 0 means 15 minutes.
	Idle time.Duration
	// Clock returns the present time. Required.
	Clock func() time.Time
}

// Metrics adds up the values that clients sent. Methods may be called
// concurrently.
type Metrics struct {
	opt Options

	mu     sync.Mutex
	series map[string]*list.Element // of *entry, by key
	recent *list.List               // of *entry, the one with the newest value first
	bytes  int                      // of all keys
	counts Counts
}

// Counts are the numbers of what happened to the data of PutMetricData, each
// element of MetricData being one datum.
type Counts struct {
	Series  int   // at present
	Data    int64 // added to a series
	Refused int64 // not added, because there were too many series
	Expired int64 // series that went away because they were idle
}

// Dimension is a name and value of a series.
type Dimension struct{ Name, Value string }

// Series is what the values of one metric add up to.
type Series struct {
	Namespace string
	Metric    string
	Unit      string // one of CloudWatch's, "None" if the client named none
	// Dimensions are sorted by name.
	Dimensions []Dimension
	// Count and Sum are of all values since the series began.
	Count, Sum float64
	// Min and Max are of the last one to two minutes in which values came.
	Min, Max float64
}

type entry struct {
	key string
	Series
	newest        time.Time
	begun         time.Time // of the present window
	last, current extremes
}

type extremes struct{ min, max float64 }

var none = extremes{math.Inf(1), math.Inf(-1)}

func (e *extremes) add(o extremes) { e.min, e.max = min(e.min, o.min), max(e.max, o.max) }

// NewMetrics returns an empty set of series.
func NewMetrics(opt Options) (*Metrics, error) {
	if opt.Clock == nil {
		return nil, errors.New("client metrics: no clock")
	}
	if opt.MaxSeries <= 0 {
		opt.MaxSeries = DefaultMaxSeries
	}
	if opt.MaxNamesBytes <= 0 {
		opt.MaxNamesBytes = DefaultMaxNamesBytes
	}
	if opt.Idle <= 0 {
		opt.Idle = DefaultIdle
	}
	return &Metrics{opt: opt, series: map[string]*list.Element{}, recent: list.New()}, nil
}

// datum is one checked element of MetricData. Its texts belong to the request.
type datum struct {
	metric, unit string
	dimensions   []Dimension
	count, sum   float64
	extremes
}

// add adds a datum to its series. The texts are copied only if the series is
// new.
func (m *Metrics) add(namespace string, d *datum) {
	slices.SortFunc(d.dimensions, func(a, b Dimension) int { return strings.Compare(a.Name, b.Name) })
	now := m.opt.Clock()
	m.mu.Lock()
	defer m.mu.Unlock()
	key := keyOf(namespace, d)
	e := m.series[key]
	if e == nil {
		if len(m.series) >= m.opt.MaxSeries || m.bytes+len(key) > m.opt.MaxNamesBytes {
			m.expire(now)
		}
		if len(m.series) >= m.opt.MaxSeries || m.bytes+len(key) > m.opt.MaxNamesBytes {
			m.counts.Refused++
			return
		}
		e = m.recent.PushFront(newEntry(key, namespace, d, now))
		m.series[key] = e
		m.bytes += len(key)
	}
	m.recent.MoveToFront(e)
	m.counts.Data++
	s := e.Value.(*entry)
	s.newest = now
	s.Count += d.count
	s.Sum += d.sum
	s.roll(now)
	s.current.add(d.extremes)
}

// keyOf renders what tells series apart. No part can hold the separator: it is
// not printable ASCII.
func keyOf(namespace string, d *datum) string {
	var b strings.Builder
	for _, part := range []string{namespace, d.metric, d.unit} {
		b.WriteString(part)
		b.WriteByte(0)
	}
	for _, dim := range d.dimensions {
		b.WriteString(dim.Name)
		b.WriteByte(0)
		b.WriteString(dim.Value)
		b.WriteByte(0)
	}
	return b.String()
}

// newEntry makes a series whose texts are parts of its key.
func newEntry(key, namespace string, d *datum, now time.Time) *entry {
	e := &entry{key: key, begun: now, last: none, current: none}
	rest := key
	next := func(n int) string {
		text := rest[:n]
		rest = rest[n+1:]
		return text
	}
	e.Namespace, e.Metric, e.Unit = next(len(namespace)), next(len(d.metric)), next(len(d.unit))
	for _, dim := range d.dimensions {
		name := next(len(dim.Name))
		e.Dimensions = append(e.Dimensions, Dimension{name, next(len(dim.Value))})
	}
	return e
}

// roll begins a new window if the present one is over.
func (e *entry) roll(now time.Time) {
	since := now.Sub(e.begun)
	switch {
	case since < window && since >= 0:
		return
	case since < 2*window && since >= 0:
		e.last = e.current
		e.begun = e.begun.Add(window)
	default:
		// After a pause the extremes from before it stay until there are new ones.
		e.last, e.begun = none, now
	}
	e.current = none
}

// expire removes series that got no value for the time Idle.
func (m *Metrics) expire(now time.Time) {
	for {
		oldest := m.recent.Back()
		if oldest == nil || now.Sub(oldest.Value.(*entry).newest) < m.opt.Idle {
			return
		}
		e := m.recent.Remove(oldest).(*entry)
		delete(m.series, e.key)
		m.bytes -= len(e.key)
		m.counts.Expired++
	}
}

// Series returns all series that are not idle, in no order.
func (m *Metrics) Series() []Series {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(m.opt.Clock())
	all := make([]Series, 0, len(m.series))
	for at := m.recent.Front(); at != nil; at = at.Next() {
		e := at.Value.(*entry)
		s, seen := e.Series, e.last
		seen.add(e.current)
		s.Min, s.Max = seen.min, seen.max
		all = append(all, s)
	}
	return all
}

// Counts returns the numbers so far.
func (m *Metrics) Counts() Counts {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.counts
	c.Series = len(m.series)
	return c
}
