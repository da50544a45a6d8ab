// Package jq is the transform that makes one value of each JSON record by a jq
// program.
//
// One record in gives one record out: a program with no output (empty, select)
// drops the record, one with several outputs fails it. $record in the program
// is an object with id, partition_key, shard_id and sequence_number. The result
// is compact JSON with sorted keys; integers of any size stay exact, numbers
// with a fraction are float64. There is no environment, no further input, no
// module and no file. A program that runs too long on a record fails that
// record; the memory it takes meanwhile is not bounded but by that time.
//
// The language is that of github.com/itchyny/gojq, which names where it differs
// from jq.
package jq

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/itchyny/gojq"

	"github.com/firehosed/firehosed/transform"
)

// The codes of failed outcomes.
const (
	CodeNotJSON = "JQ.NotJSON"        // the record is no JSON value
	CodeError   = "JQ.Error"          // the program ended with an error
	CodeTimeout = "JQ.Timeout"        // it took longer than Options.Timeout
	CodeSeveral = "JQ.SeveralOutputs" // it gave more than one value
	CodeOutput  = "JQ.Output"         // its value is too large or nested too deeply
)

const (
	defaultTimeout  = time.Second
	defaultMaxBytes = 10 << 20

	// maxMessage bounds messages, in bytes: they may quote a value of the record.
	maxMessage = 300

	// A compiled program keeps every regular expression it ever met, also those
	// it took from records. It is compiled anew after so many records or bytes.
	renewRecords = 10_000
	renewBytes   = 64 << 20
)

// Options of a jq step.
type Options struct {
	// Query is the program.
	Query string
	// Timeout is how long it may run on a record, default 1 s.
	Timeout time.Duration
	// MaxBytes bounds what becomes of a record, default 10 MiB.
	MaxBytes int
}

// Transformer is a jq step.
type Transformer struct {
	opt    Options
	query  *gojq.Query
	record bool // the program names $record
	clock  bool // it depends on the time or the time zone of the machine
	renew  bool // it uses regular expressions

	mu      sync.Mutex
	code    *gojq.Code
	records int
	bytes   int
}

var _ transform.Transformer = (*Transformer)(nil)

var (
	recordWord = regexp.MustCompile(`\$record\b`)
	clockWords = regexp.MustCompile(`\b(now|localtime|strflocaltime|input_line_number|input_filename)\b`)
	regexWords = regexp.MustCompile(`\b(test|match|capture|scan|split|splits|sub|gsub)\b`)
)

// New compiles the program. The error says where in it the fault is, as
// line:column.
func New(opt Options) (*Transformer, error) {
	if opt.Timeout == 0 {
		opt.Timeout = defaultTimeout
	}
	if opt.MaxBytes == 0 {
		opt.MaxBytes = defaultMaxBytes
	}
	if opt.Timeout < 0 || opt.MaxBytes < 0 {
		return nil, errors.New("jq: timeout and size must not be negative")
	}
	if strings.TrimSpace(opt.Query) == "" {
		return nil, errors.New("jq: query is missing")
	}
	q, err := gojq.Parse(opt.Query)
	if err != nil {
		return nil, fmt.Errorf("jq: query %s", place(opt.Query, err))
	}
	t := &Transformer{opt: opt, query: q}
	if t.code, err = t.compile(); err != nil {
		return nil, fmt.Errorf("jq: query: %w", err)
	}
	// A word inside a string counts as well; that costs a little, no more.
	text := q.String()
	t.record = recordWord.MatchString(text)
	t.clock = clockWords.MatchString(text)
	t.renew = regexWords.MatchString(text)
	return t, nil
}

func (t *Transformer) compile() (*gojq.Code, error) {
	return gojq.Compile(t.query, gojq.WithVariables([]string{"$record"}))
}

func place(query string, err error) string {
	var pe *gojq.ParseError
	if !errors.As(err, &pe) {
		return err.Error()
	}
	before := query[:min(max(pe.Offset-len(pe.Token), 0), len(query))]
	line := 1 + strings.Count(before, "\n")
	column := 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
	return fmt.Sprintf("%d:%d: %s", line, column, clip(err.Error()))
}

func clip(s string) string {
	s = strings.ReplaceAll(s, "\n", " ")
	if len(s) <= maxMessage {
		return s
	}
	n := maxMessage
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

// Deterministic is true unless the program asks for the time.
func (t *Transformer) Deterministic() bool { return !t.clock }

// Close does nothing.
func (t *Transformer) Close() error { return nil }

// Transform runs the program on each record.
func (t *Transformer) Transform(ctx context.Context, in []transform.Record) ([]transform.Outcome, error) {
	code, err := t.program(in)
	if err != nil {
		return nil, err
	}
	w := newWatch(ctx, t.opt.Timeout)
	defer w.close()
	return transform.Each(ctx, in, func(r *transform.Record) transform.Outcome { return t.one(w, code, r) })
}

func (t *Transformer) program(in []transform.Record) (*gojq.Code, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.renew {
		t.records += len(in)
		for i := range in {
			t.bytes += len(in[i].Data)
		}
		if t.records > renewRecords || t.bytes > renewBytes {
			code, err := t.compile()
			if err != nil {
				return nil, fmt.Errorf("jq: query: %w", err)
			}
			t.code, t.records, t.bytes = code, 0, 0
		}
	}
	return t.code, nil
}

func (t *Transformer) one(w *watch, code *gojq.Code, r *transform.Record) (o transform.Outcome) {
	v, err := r.Value()
	if err != nil {
		return transform.Fail(CodeNotJSON, "jq: "+err.Error())
	}
	// A fault in the interpreter is a failed record, not the end of the daemon.
	defer func() {
		if p := recover(); p != nil {
			o = transform.Fail(CodeError, clip(fmt.Sprintf("jq: the interpreter panicked: %v", p)))
		}
	}()
	var meta any
	if t.record {
		meta = map[string]any{
			"id": r.ID, "partition_key": r.PartitionKey, "shard_id": r.ShardID, "sequence_number": r.SequenceNumber,
		}
	}
	iter := code.RunWithContext(w.start(), v, meta)
	defer w.stop()
	result, ok := iter.Next()
	if !ok {
		return transform.Outcome{Verdict: transform.Dropped}
	}
	if err, isErr := result.(error); isErr {
		return t.failed(w, err)
	}
	if second, more := iter.Next(); more {
		if err, isErr := second.(error); isErr {
			return t.failed(w, err)
		}
		return transform.Fail(CodeSeveral, "jq: the query gives more than one value; one record stays one record, so collect them with [...]")
	}
	changed := *r
	if err := changed.SetValue(result); err != nil {
		return transform.Fail(CodeOutput, "jq: result: "+clip(err.Error()))
	}
	if len(changed.Data) > t.opt.MaxBytes {
		return transform.Fail(CodeOutput, fmt.Sprintf("jq: result has %d bytes, the limit is %d", len(changed.Data), t.opt.MaxBytes))
	}
	return transform.Outcome{Record: changed}
}

func (t *Transformer) failed(w *watch, err error) transform.Outcome {
	if w.expired() {
		return transform.Fail(CodeTimeout, fmt.Sprintf("jq: the query ran longer than %v", t.opt.Timeout))
	}
	return transform.Fail(CodeError, "jq: "+clip(err.Error()))
}

// watch ends a run on one record after the limit, with one timer and one
// context for many records. The limit is measured in two halves: if the process
// was stopped during a run, as with the machine it is on, one of them is over
// at once, and the run still has the other.
type watch struct {
	parent context.Context
	limit  time.Duration
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer
}

func newWatch(ctx context.Context, limit time.Duration) *watch {
	return &watch{parent: ctx, limit: limit}
}

func (w *watch) start() context.Context {
	if w.ctx == nil || w.ctx.Err() != nil {
		w.close()
		ctx, cancel := context.WithCancel(w.parent)
		w.ctx, w.cancel = ctx, cancel
		w.timer = time.AfterFunc(w.limit/2, func() {
			rest := time.NewTimer(w.limit - w.limit/2)
			defer rest.Stop()
			select {
			case <-rest.C:
				cancel()
			case <-ctx.Done():
			}
		})
	} else {
		w.timer.Reset(w.limit / 2)
	}
	return w.ctx
}

// stop ends the time of a record. If it could not, the second half has begun,
// and start must not use the context again.
func (w *watch) stop() {
	if !w.timer.Stop() {
		w.cancel()
	}
}

// expired reports whether it was the limit that ended the run.
func (w *watch) expired() bool { return w.ctx.Err() != nil && w.parent.Err() == nil }

func (w *watch) close() {
	if w.cancel != nil {
		w.timer.Stop()
		w.cancel()
	}
}
