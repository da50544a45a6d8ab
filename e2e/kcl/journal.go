// Package kcl runs workers of an application of the Kinesis Client Library and
// reads what they say that they did. A worker is a program of e2e/java; it
// writes a line for each record before it checkpoints, so that what it has
// written is what it has processed, however it ends.
package kcl

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// What a line of a worker is about.
const (
	Initialize = "initialize" // a record processor begins a shard
	Record     = "record"     // it has processed a record
	Ended      = "ended"      // it has come to the end of the shard
	Lost       = "lost"       // another worker has the lease
	Requested  = "requested"  // the worker is asked to stop
	Stopped    = "stopped"    // the worker has stopped in good order
)

// Event is a line of a worker.
type Event struct {
	Worker    string
	Millis    int64  // when it was written, since the epoch
	What      string // such as Record
	Shard     string
	Processor int // counted by the worker; a processor has one shard, and a shard may have several

	// Of a record only.
	Sequence, SubSequence string
	Key                   string // the partition key
	Number                int    // which record of its key it is, from 0
}

// Events are the whole lines in the file of a worker, in their order; a file
// that is not there has none.
func Events(worker, file string) ([]Event, error) {
	raw, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("journal of worker %s: %w", worker, err)
	}
	// A worker that was killed may have left its last line torn.
	raw = raw[:bytes.LastIndexByte(raw, '\n')+1]
	var events []Event
	for line := range strings.Lines(string(raw)) {
		e, err := parse(strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
		if err != nil {
			return nil, fmt.Errorf("journal of worker %s: line %q: %w", worker, line, err)
		}
		e.Worker = worker
		events = append(events, e)
	}
	return events, nil
}

func parse(fields []string) (Event, error) {
	if len(fields) != 4 && len(fields) != 8 {
		return Event{}, fmt.Errorf("%d fields", len(fields))
	}
	e := Event{What: fields[1], Shard: fields[2]}
	var err error
	if e.Millis, err = strconv.ParseInt(fields[0], 10, 64); err != nil {
		return e, err
	}
	if e.Processor, err = strconv.Atoi(fields[3]); err != nil {
		return e, err
	}
	if (e.What == Record) != (len(fields) == 8) {
		return e, fmt.Errorf("%d fields", len(fields))
	}
	if e.What != Record {
		return e, nil
	}
	e.Sequence, e.SubSequence, e.Key = fields[4], fields[5], fields[6]
	// The data is the key and the number.
	number, ok := strings.CutPrefix(fields[7], e.Key+":")
	if !ok {
		return e, fmt.Errorf("data %q of a record with key %q", fields[7], e.Key)
	}
	e.Number, err = strconv.Atoi(number)
	return e, err
}
