package delivery

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/transform"
)

// errNothing ends the writing of an object that has no rows: every record was
// dropped or failed. No empty objects are made.
var errNothing = errors.New("nothing to write")

// putObject writes the object of a plan.
func (s *Stream) putObject(ctx context.Context, x *execution) error {
	out := s.opt.Objects
	encoded := false
	stored, err := out.Sink.Put(ctx, sinks.Object{
		Key: x.plan.Key, ID: x.plan.ID,
		ContentType:     out.Format.ContentType(),
		ContentEncoding: out.Compression.ContentEncoding(),
		Metadata:        map[string]string{"firehosed-records": strconv.FormatInt(x.plan.Records, 10)},
		Write: func(w io.Writer) error {
			err := s.encode(ctx, x, w)
			encoded = err == nil
			return err
		},
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if err != nil {
		return err
	}
	if !encoded {
		// The object was there already and nobody asked for its bytes. The
		// records that failed on the way to it must be found all the same.
		if err := s.encode(ctx, x, io.Discard); err != nil && !errors.Is(err, errNothing) {
			return err
		}
	}
	x.object = x.plan.Key
	x.stored = stored
	return nil
}

// encode writes the bytes of a plan's object and gathers what failed.
func (s *Stream) encode(ctx context.Context, x *execution, w io.Writer) error {
	x.reset()
	out := s.opt.Objects
	return s.writeObject(w, out.Compression, func(cw io.Writer) (rows int64, err error) {
		fw, err := out.Format.NewWriter(cw, formats.WriterOptions{State: s.formatState, TempDir: s.workDir})
		if err != nil {
			return 0, fmt.Errorf("format: %w", err)
		}
		err = s.outcomes(ctx, x, x.plan.start(), func(page []outcome) error {
			return s.writePage(x, fw, page)
		})
		rows = fw.Rows()
		// Close also when nothing can come of it: it removes the writer's files.
		if cerr := fw.Close(); err == nil && cerr != nil && rows > 0 {
			err = fmt.Errorf("format: %w", cerr)
		}
		if err == nil {
			x.formatState = fw.State()
			x.rows = rows
		}
		return rows, err
	})
}

// writeObject compresses what write writes, and refuses to make an empty
// object of it.
func (s *Stream) writeObject(w io.Writer, c formats.Compression, write func(io.Writer) (rows int64, err error)) error {
	cw, err := formats.NewCompressor(c, w)
	if err != nil {
		return fmt.Errorf("compression: %w", err)
	}
	rows, err := write(cw)
	if err == nil && rows == 0 {
		err = errNothing
	}
	if cerr := cw.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("compression: %w", cerr)
	}
	return err
}

// writePage hands the good records of a page to the format and the others to
// the failures.
func (s *Stream) writePage(x *execution, fw formats.Writer, page []outcome) error {
	data := make([][]byte, 0, len(page))
	from := make([]int, 0, len(page))
	for i := range page {
		switch o := &page[i]; o.Verdict {
		case transform.OK:
			data = append(data, o.Record.Data)
			from = append(from, i)
		case transform.Dropped:
			x.dropped++
		default:
			if err := x.failures.add(transformFailure(x.plan, o)); err != nil {
				return err
			}
		}
	}
	var failed error
	err := fw.Write(data, func(i int, err *formats.RecordError) {
		failed = errors.Join(failed, x.failures.add(formatFailure(x.plan, &page[from[i]], err)))
	})
	if err != nil {
		return fmt.Errorf("format: %w", err)
	}
	return failed
}

// putFailures writes an object of error records for each type of failure.
func (s *Stream) putFailures(ctx context.Context, x *execution) error {
	out := s.opt.Errors
	for _, typ := range x.failures.types() {
		id := partID(x.plan.ID, typ)
		key, err := s.objectKey(out.Prefix, Moment{Time: x.plan.Oldest, Seed: id, ErrorType: typ}, id, out.Compression.Extension())
		if err != nil {
			return fmt.Errorf("error output: %w", err)
		}
		_, err = out.Sink.Put(ctx, sinks.Object{
			Key: key, ID: id, ContentType: "application/octet-stream", ContentEncoding: out.Compression.ContentEncoding(),
			Write: func(w io.Writer) error {
				return s.writeObject(w, out.Compression, func(cw io.Writer) (int64, error) {
					return x.failures.counts[typ], x.failures.spools[typ].copyTo(cw)
				})
			},
		})
		if err != nil {
			return fmt.Errorf("error output %s: %w", out.Sink, err)
		}
	}
	return nil
}

// putBackup writes the source records of a plan as they came.
func (s *Stream) putBackup(ctx context.Context, x *execution) error {
	out := s.opt.Backup
	_, err := out.Sink.Put(ctx, sinks.Object{
		Key: x.plan.Backup, ID: partID(x.plan.ID, "backup"), ContentType: out.Format.ContentType(),
		ContentEncoding: out.Compression.ContentEncoding(),
		Write: func(w io.Writer) error {
			return s.writeObject(w, out.Compression, func(cw io.Writer) (int64, error) {
				fw, err := out.Format.NewWriter(cw, formats.WriterOptions{TempDir: s.workDir})
				if err != nil {
					return 0, fmt.Errorf("format: %w", err)
				}
				err = s.walk(ctx, x.plan, x.plan.start(), func(_ planRange, records []streams.Record) error {
					data := make([][]byte, len(records))
					for i, r := range records {
						data[i] = r.Data
					}
					var refused error
					if err := fw.Write(data, func(_ int, err *formats.RecordError) { refused = err }); err != nil {
						return err
					}
					return refused
				})
				return fw.Rows(), errors.Join(err, fw.Close())
			})
		},
	})
	if errors.Is(err, errNothing) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("backup %s: %w", out.Sink, err)
	}
	return nil
}
