package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/firehosed/firehosed/internal/backoff"
)

type putCmd struct {
	client
	Stream         string `help:"Stream to put into (Kinesis)." xor:"to" required:""`
	DeliveryStream string `help:"Delivery stream to put into (Firehose)." xor:"to" required:""`
	PartitionKey   string `help:"Partition key of all records; a random one for each if not given. Streams only."`
	Output         string `short:"o" enum:"text,json" default:"text" help:"How to print: text or json."`
	File           string `arg:"" optional:"" default:"-" help:"File with a record on each line; - is standard input."`
}

// A batch is at most what both APIs take.
const (
	putRecords = 500
	putBytes   = 3 << 20
	putLine    = 1000 << 10
	putTries   = 8
)

// Run reads lines and puts them in batches. What the daemon is too busy for is
// sent again.
func (p *putCmd) Run(ctx context.Context, out output) error {
	in := out.stdin
	if p.File != "-" {
		f, err := os.Open(p.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	lines := bufio.NewReaderSize(in, putLine+2)
	var batch [][]byte
	size, total := 0, 0
	flush := func() error {
		if err := p.putAll(ctx, out, batch); err != nil {
			return fmt.Errorf("after %d records: %w", total, err)
		}
		total += len(batch)
		batch, size = nil, 0
		return nil
	}
	for {
		line, err := lines.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			return errors.Join(flush(), fmt.Errorf("line %d is longer than %d bytes", total+1, putLine))
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return errors.Join(flush(), fmt.Errorf("%s: %w", p.File, err))
		}
		end := err != nil
		for len(line) > 0 && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
			line = line[:len(line)-1]
		}
		if len(line) > 0 {
			batch = append(batch, append([]byte(nil), line...))
			size += len(line)
		}
		// What is at hand goes out; a slow pipe is not waited for.
		if len(batch) == putRecords || size >= putBytes || end || lines.Buffered() == 0 && len(batch) > 0 {
			if err := flush(); err != nil {
				return err
			}
		}
		if end {
			break
		}
	}
	if p.Output == "json" {
		return printJSON(out.stdout, map[string]int{"records": total})
	}
	fmt.Fprintf(out.stdout, "put %d records\n", total)
	return nil
}

type putRecord struct {
	Data         []byte
	PartitionKey string `json:",omitempty"`
}

type putResult struct {
	ErrorCode, ErrorMessage string
}

func (p *putCmd) putAll(ctx context.Context, out output, batch [][]byte) error {
	for try := 1; len(batch) > 0; try++ {
		results, err := p.put(ctx, out, batch)
		if err != nil {
			return err
		}
		if len(results) != len(batch) {
			return fmt.Errorf("the daemon answered %d results for %d records", len(results), len(batch))
		}
		var again [][]byte
		var last putResult
		for i, r := range results {
			if r.ErrorCode != "" {
				again, last = append(again, batch[i]), r
			}
		}
		batch = again
		if len(batch) > 0 {
			if try == putTries {
				return fmt.Errorf("%d records not taken: %s: %s", len(batch), last.ErrorCode, last.ErrorMessage)
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(backoff.Policy{Initial: 200 * time.Millisecond}.Pause(try, nil)):
			}
		}
	}
	return nil
}

func (p *putCmd) put(ctx context.Context, out output, batch [][]byte) ([]putResult, error) {
	records := make([]putRecord, len(batch))
	for i, data := range batch {
		records[i].Data = data
		if p.Stream != "" {
			records[i].PartitionKey = p.PartitionKey
			if p.PartitionKey == "" {
				records[i].PartitionKey = rand.Text()
			}
		}
	}
	if p.DeliveryStream != "" {
		var answer struct{ RequestResponses []putResult }
		err := p.call(ctx, out, "Firehose_20150804.PutRecordBatch",
			map[string]any{"DeliveryStreamName": p.DeliveryStream, "Records": records}, &answer)
		return answer.RequestResponses, err
	}
	var answer struct{ Records []putResult }
	err := p.call(ctx, out, "Kinesis_20131202.PutRecords",
		map[string]any{"StreamName": p.Stream, "Records": records}, &answer)
	return answer.Records, err
}
