package main

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

type tailCmd struct {
	client
	Stream string        `arg:"" help:"Stream to read."`
	From   string        `default:"latest" help:"Where to begin: latest, horizon, or a time (RFC 3339)."`
	Limit  int           `short:"n" help:"End after so many records; 0 means never."`
	Poll   time.Duration `default:"500ms" help:"How often to ask for new records."`
	Output string        `short:"o" enum:"text,json" default:"text" help:"How to print: text (data alone) or json."`
}

type tailShard struct {
	ShardID string `json:"ShardId"`
}

type tailRecord struct {
	SequenceNumber              string
	ApproximateArrivalTimestamp float64
	Data                        []byte
	PartitionKey                string
}

type tailAnswer struct {
	Records           []tailRecord
	NextShardIterator string
	ChildShards       []tailShard
}

// Run prints records of all shards, and of their children after a reshape,
// until it is interrupted.
func (t *tailCmd) Run(ctx context.Context, out output) error {
	var listed struct{ Shards []tailShard }
	filter := "AT_LATEST"
	if t.From != "latest" {
		filter = "AT_TRIM_HORIZON"
	}
	err := t.call(ctx, out, "Kinesis_20131202.ListShards", map[string]any{
		"StreamName": t.Stream, "ShardFilter": map[string]any{"Type": filter},
	}, &listed)
	if err != nil {
		return err
	}
	iterators := map[string]string{}
	for _, sh := range listed.Shards {
		if iterators[sh.ShardID], err = t.iterator(ctx, out, sh.ShardID, t.From); err != nil {
			return err
		}
	}
	seen := 0
	for len(iterators) > 0 {
		quiet := true
		for id, it := range iterators {
			var got tailAnswer
			if err := t.call(ctx, out, "Kinesis_20131202.GetRecords", map[string]any{"ShardIterator": it}, &got); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			for _, r := range got.Records {
				quiet = false
				if err := t.print(out, id, r); err != nil {
					return err
				}
				if seen++; seen == t.Limit {
					return nil
				}
			}
			iterators[id] = got.NextShardIterator
			if got.NextShardIterator == "" {
				delete(iterators, id)
				for _, child := range got.ChildShards {
					if iterators[child.ShardID], err = t.iterator(ctx, out, child.ShardID, "horizon"); err != nil {
						return err
					}
				}
			}
		}
		if quiet {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(t.Poll):
			}
		}
	}
	return nil
}

func (t *tailCmd) iterator(ctx context.Context, out output, shard, from string) (string, error) {
	in := map[string]any{"StreamName": t.Stream, "ShardId": shard}
	switch from {
	case "latest":
		in["ShardIteratorType"] = "LATEST"
	case "horizon":
		in["ShardIteratorType"] = "TRIM_HORIZON"
	default:
		at, err := time.Parse(time.RFC3339, from)
		if err != nil {
			return "", &exitError{code: 2, err: errors.New("--from is latest, horizon, or a time such as 2026-08-01T10:00:00Z")}
		}
		in["ShardIteratorType"] = "AT_TIMESTAMP"
		in["Timestamp"] = float64(at.UnixMilli()) / 1000
	}
	var answer struct{ ShardIterator string }
	err := t.call(ctx, out, "Kinesis_20131202.GetShardIterator", in, &answer)
	return answer.ShardIterator, err
}

func (t *tailCmd) print(out output, shard string, r tailRecord) error {
	if t.Output == "text" {
		_, err := fmt.Fprintf(out.stdout, "%s\n", r.Data)
		return err
	}
	v := map[string]any{
		"shard": shard, "sequence_number": r.SequenceNumber, "partition_key": r.PartitionKey,
		"arrival": time.UnixMilli(int64(r.ApproximateArrivalTimestamp*1000 + 0.5)).UTC().Format("2006-01-02T15:04:05.000Z"),
	}
	if utf8.Valid(r.Data) {
		v["data"] = string(r.Data)
	} else {
		v["data_base64"] = r.Data
	}
	return printJSON(out.stdout, v)
}
