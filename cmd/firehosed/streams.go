package main

import (
	"context"
	"fmt"
	"strconv"
	"text/tabwriter"
)

type streamsCmd struct {
	client
	Shards bool   `help:"List the shards of the streams and where they come from instead."`
	Output string `short:"o" enum:"text,json" default:"text" help:"How to print: text or json."`
}

type streamRow struct {
	Name           string `json:"name"`
	Kind           string `json:"kind"` // stream or delivery_stream
	Status         string `json:"status"`
	Shards         int    `json:"shards,omitempty"`
	RetentionHours int    `json:"retention_hours,omitempty"`
}

// Run lists streams and delivery streams.
func (s *streamsCmd) Run(ctx context.Context, out output) error {
	rows, err := s.streams(ctx, out)
	if err != nil {
		return err
	}
	if s.Shards {
		return s.printShards(ctx, out, rows)
	}
	deliveries, err := s.deliveryStreams(ctx, out)
	if err != nil {
		return err
	}
	rows = append(rows, deliveries...)
	if s.Output == "json" {
		for _, r := range rows {
			if err := printJSON(out.stdout, r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(out.stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tKIND\tSTATUS\tSHARDS\tRETENTION")
	for _, r := range rows {
		shards, retention := "-", "-"
		if r.Kind == "stream" {
			shards, retention = strconv.Itoa(r.Shards), fmt.Sprintf("%dh", r.RetentionHours)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, r.Kind, r.Status, shards, retention)
	}
	return w.Flush()
}

func (s *streamsCmd) streams(ctx context.Context, out output) ([]streamRow, error) {
	var rows []streamRow
	in := map[string]any{}
	for {
		var page struct {
			StreamNames    []string
			HasMoreStreams bool
			NextToken      string
		}
		if err := s.call(ctx, out, "Kinesis_20131202.ListStreams", in, &page); err != nil {
			return nil, err
		}
		for _, name := range page.StreamNames {
			var d struct {
				StreamDescriptionSummary struct {
					StreamStatus         string
					OpenShardCount       int
					RetentionPeriodHours int
				}
			}
			if err := s.call(ctx, out, "Kinesis_20131202.DescribeStreamSummary", map[string]any{"StreamName": name}, &d); err != nil {
				return nil, err
			}
			sum := d.StreamDescriptionSummary
			rows = append(rows, streamRow{Name: name, Kind: "stream", Status: sum.StreamStatus, Shards: sum.OpenShardCount, RetentionHours: sum.RetentionPeriodHours})
		}
		if !page.HasMoreStreams {
			return rows, nil
		}
		in = map[string]any{"NextToken": page.NextToken}
	}
}

func (s *streamsCmd) deliveryStreams(ctx context.Context, out output) ([]streamRow, error) {
	var rows []streamRow
	in := map[string]any{"Limit": 100}
	for {
		var page struct {
			DeliveryStreamNames    []string
			HasMoreDeliveryStreams bool
		}
		if err := s.call(ctx, out, "Firehose_20150804.ListDeliveryStreams", in, &page); err != nil {
			return nil, err
		}
		for _, name := range page.DeliveryStreamNames {
			var d struct {
				DeliveryStreamDescription struct{ DeliveryStreamStatus string }
			}
			if err := s.call(ctx, out, "Firehose_20150804.DescribeDeliveryStream", map[string]any{"DeliveryStreamName": name}, &d); err != nil {
				return nil, err
			}
			rows = append(rows, streamRow{Name: name, Kind: "delivery_stream", Status: d.DeliveryStreamDescription.DeliveryStreamStatus})
			in["ExclusiveStartDeliveryStreamName"] = name
		}
		if !page.HasMoreDeliveryStreams || len(page.DeliveryStreamNames) == 0 {
			return rows, nil
		}
	}
}
