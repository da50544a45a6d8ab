package kcl

import (
	"cmp"
	"fmt"
	"slices"
)

// maxProblems bounds what an account says of one kind.
const maxProblems = 5

// Account is what all workers together have done.
type Account struct {
	Processed  int // records, duplicates counted
	Duplicates int // records that were processed before, by their key and number
	Shards     map[string]*Shard
	Keys       map[string]int // how many records of a key, one after the other from 0, are there
	Problems   []string       // what must not be
}

// Shard is what happened to a shard.
type Shard struct {
	FirstRecord, LastRecord, Ended int64           // times in milliseconds, 0 for never
	Last                           string          // the largest sequence number of a record
	Workers                        map[string]bool // that have processed a record of it
	ByWorker                       map[string]int  // records
}

// Accounts adds up the events of all workers. It holds the rules of delivery at
// least once, in order: a processor gets the records of a key in their order,
// the first time that record n of a key is processed is not before that of
// record n-1, and a sequence number has one record.
func Accounts(events []Event) Account {
	a := Account{Shards: map[string]*Shard{}, Keys: map[string]int{}}
	// By the time of their lines. Those of one worker are in order already.
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(x, y Event) int { return cmp.Compare(x.Millis, y.Millis) })

	type processor struct {
		worker string
		number int
		key    string
	}
	type place struct{ shard, sequence, sub string }
	last := map[processor]int{}
	first := map[string]map[int]int64{} // by key and number: when it was processed first
	records := map[place]string{}
	for _, e := range events {
		shard := a.Shards[e.Shard]
		if shard == nil {
			shard = &Shard{Workers: map[string]bool{}, ByWorker: map[string]int{}}
			a.Shards[e.Shard] = shard
		}
		if e.What == Ended && shard.Ended == 0 {
			shard.Ended = e.Millis
		}
		if e.What != Record {
			continue
		}
		a.Processed++
		shard.ByWorker[e.Worker]++
		shard.Workers[e.Worker] = true
		if shard.FirstRecord == 0 {
			shard.FirstRecord = e.Millis
		}
		shard.LastRecord = e.Millis
		if len(e.Sequence) > len(shard.Last) || len(e.Sequence) == len(shard.Last) && e.Sequence > shard.Last {
			shard.Last = e.Sequence
		}

		p := processor{e.Worker, e.Processor, e.Key}
		if before, ok := last[p]; ok && e.Number < before {
			a.problem("worker %s, %s: record %d of %s behind %d", e.Worker, e.Shard, e.Number, e.Key, before)
		}
		last[p] = e.Number

		data := fmt.Sprintf("%s:%d", e.Key, e.Number)
		at := place{e.Shard, e.Sequence, e.SubSequence}
		if was, ok := records[at]; ok && was != data {
			a.problem("%s, sequence number %s: once %s, once %s", e.Shard, e.Sequence, was, data)
		}
		records[at] = data

		if first[e.Key] == nil {
			first[e.Key] = map[int]int64{}
		}
		if _, ok := first[e.Key][e.Number]; ok {
			a.Duplicates++
		} else {
			first[e.Key][e.Number] = e.Millis
		}
	}
	for key, times := range first {
		n := 0
		for ; ; n++ {
			at, ok := times[n]
			if !ok {
				break
			}
			if n > 0 && at < times[n-1] {
				a.problem("record %d of %s was processed first %d ms before record %d", n, key, times[n-1]-at, n-1)
			}
		}
		a.Keys[key] = n
	}
	return a
}

func (a *Account) problem(format string, args ...any) {
	switch {
	case len(a.Problems) < maxProblems:
		a.Problems = append(a.Problems, fmt.Sprintf(format, args...))
	case len(a.Problems) == maxProblems:
		a.Problems = append(a.Problems, "and more")
	}
}
