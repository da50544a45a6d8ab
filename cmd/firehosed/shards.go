package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
)

// shardRow is a shard of a stream with where it comes from.
type shardRow struct {
	Stream       string   `json:"stream"`
	Shard        string   `json:"shard"`
	Open         bool     `json:"open"`
	Parents      []string `json:"parents,omitempty"`
	StartingHash string   `json:"starting_hash_key"`
	EndingHash   string   `json:"ending_hash_key"`
}

// printShards lists the shards of streams, closed ones included for as long as
// their records can be read.
func (s *streamsCmd) printShards(ctx context.Context, out output, rows []streamRow) error {
	w := tabwriter.NewWriter(out.stdout, 0, 4, 2, ' ', 0)
	if s.Output != "json" {
		fmt.Fprintln(w, "STREAM\tSHARD\tSTATE\tPARENTS\tHASH KEYS")
	}
	for _, r := range rows {
		if r.Kind != "stream" {
			continue
		}
		shards, err := s.shards(ctx, out, r.Name)
		if err != nil {
			return err
		}
		for _, sh := range shards {
			if s.Output == "json" {
				if err := printJSON(out.stdout, sh); err != nil {
					return err
				}
				continue
			}
			state, parents := "closed", "-"
			if sh.Open {
				state = "open"
			}
			if len(sh.Parents) > 0 {
				parents = strings.Join(sh.Parents, " ")
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s-%s\n", sh.Stream, sh.Shard, state, parents, sh.StartingHash, sh.EndingHash)
		}
	}
	return w.Flush()
}

func (s *streamsCmd) shards(ctx context.Context, out output, stream string) ([]shardRow, error) {
	var rows []shardRow
	in := map[string]any{"StreamName": stream}
	for {
		var page struct {
			NextToken string
			Shards    []struct {
				ShardID             string `json:"ShardId"`
				ParentShardID       string `json:"ParentShardId"`
				AdjacentParentID    string `json:"AdjacentParentShardId"`
				HashKeyRange        struct{ StartingHashKey, EndingHashKey string }
				SequenceNumberRange struct{ EndingSequenceNumber string }
			}
		}
		if err := s.call(ctx, out, "Kinesis_20131202.ListShards", in, &page); err != nil {
			return nil, err
		}
		for _, sh := range page.Shards {
			row := shardRow{
				Stream: stream, Shard: sh.ShardID, Open: sh.SequenceNumberRange.EndingSequenceNumber == "",
				StartingHash: sh.HashKeyRange.StartingHashKey, EndingHash: sh.HashKeyRange.EndingHashKey,
			}
			for _, id := range []string{sh.ParentShardID, sh.AdjacentParentID} {
				if id != "" {
					row.Parents = append(row.Parents, id)
				}
			}
			rows = append(rows, row)
		}
		if page.NextToken == "" {
			return rows, nil
		}
		in = map[string]any{"NextToken": page.NextToken}
	}
}
