package delivery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/firehosed/firehosed/formats"
	"github.com/firehosed/firehosed/sinks"
)

// Folders of the error output, as in Amazon Data Firehose.
const (
	processingFailed = "processing-failed"
	conversionFailed = "format-conversion-failed"
)

// failure is one record on its way to the error output.
type failure struct {
	errorType string
	line      []byte
}

// errorRecord is a failed record in the shape of Amazon Data Firehose: one
// JSON object for each, rawData being the source record in base64. Format
// conversion writes its own names for code and message. shardId and step are
// ours: with sequenceNumber they lead back to the record in the log.
type errorRecord struct {
	AttemptsMade           int    `json:"attemptsMade"`
	ArrivalTimestamp       int64  `json:"arrivalTimestamp"`
	ErrorCode              string `json:"errorCode,omitempty"`
	ErrorMessage           string `json:"errorMessage,omitempty"`
	LastErrorCode          string `json:"lastErrorCode,omitempty"`
	LastErrorMessage       string `json:"lastErrorMessage,omitempty"`
	AttemptEndingTimestamp int64  `json:"attemptEndingTimestamp"`
	DocumentID             string `json:"esDocumentId,omitempty"`
	DataID                 string `json:"dataId,omitempty"`
	RawData                []byte `json:"rawData"`
	SequenceNumber         string `json:"sequenceNumber"`
	ShardID                string `json:"shardId"`
	Step                   string `json:"step,omitempty"`
}

// newFailure makes the error record of an outcome. The time in it is that of
// the plan, so that a second try writes the same bytes.
func newFailure(p *plan, o *outcome, errorType, step, code, message string, attempts int) failure {
	rec := errorRecord{
		AttemptsMade:           max(attempts, 1),
		ArrivalTimestamp:       o.source.Arrival.UnixMilli(),
		AttemptEndingTimestamp: p.Now.UnixMilli(),
		RawData:                o.source.Data,
		SequenceNumber:         o.sequenceNumber(),
		ShardID:                o.shard.Shard.String(),
		Step:                   step,
	}
	if rec.RawData == nil {
		rec.RawData = []byte{}
	}
	switch errorType {
	case conversionFailed:
		rec.LastErrorCode, rec.LastErrorMessage = code, message
	default:
		rec.ErrorCode, rec.ErrorMessage = code, message
	}
	switch errorType {
	case processingFailed, conversionFailed:
	case "http-endpoint-failed":
		rec.DataID = rec.SequenceNumber + ".0"
	default:
		rec.DocumentID = documentID(p, o)
	}
	line, _ := json.Marshal(rec) // strings, numbers and bytes: cannot fail
	return failure{errorType: errorType, line: append(line, '\n')}
}

func transformFailure(p *plan, o *outcome) failure {
	return newFailure(p, o, processingFailed, o.Step, o.Code, o.Message, o.Attempts)
}

func formatFailure(p *plan, o *outcome, err *formats.RecordError) failure {
	return newFailure(p, o, conversionFailed, "format", err.Code, err.Err.Error(), 1)
}

func sinkFailure(p *plan, o *outcome, errorType string, err *sinks.Error, attempts int) failure {
	return newFailure(p, o, errorType, "destination", err.Code, err.Err.Error(), attempts)
}

// failures gathers the error records of one execution, a spool for each type.
type failures struct {
	dir    string
	spools map[string]*spool
	counts map[string]int64
}

func (f *failures) add(fl failure) error {
	if f.spools == nil {
		f.spools = map[string]*spool{}
		f.counts = map[string]int64{}
	}
	sp := f.spools[fl.errorType]
	if sp == nil {
		sp = &spool{dir: f.dir}
		f.spools[fl.errorType] = sp
	}
	f.counts[fl.errorType]++
	return sp.write(fl.line)
}

// reset forgets everything and removes the files.
func (f *failures) reset() {
	for _, sp := range f.spools {
		sp.close()
	}
	f.spools, f.counts = nil, nil
}

func (f *failures) types() []string {
	types := make([]string, 0, len(f.spools))
	for t := range f.spools {
		types = append(types, t)
	}
	slices.Sort(types)
	return types
}

// spool holds bytes in memory up to a limit and in a file beyond it.
type spool struct {
	dir  string
	mem  bytes.Buffer
	file *os.File
}

const spoolMemory = 256 << 10

func (s *spool) write(p []byte) error {
	if s.file == nil && s.mem.Len()+len(p) <= spoolMemory {
		s.mem.Write(p)
		return nil
	}
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "failed-*.tmp")
		if err != nil {
			return fmt.Errorf("spool of failed records: %w", err)
		}
		s.file = f
	}
	if s.mem.Len()+len(p) > spoolMemory {
		if err := s.flush(); err != nil {
			return err
		}
	}
	if len(p) > spoolMemory {
		_, err := s.file.Write(p)
		return err
	}
	s.mem.Write(p)
	return nil
}

func (s *spool) flush() error {
	if _, err := s.file.Write(s.mem.Bytes()); err != nil {
		return fmt.Errorf("spool of failed records: %w", err)
	}
	s.mem.Reset()
	return nil
}

// copyTo writes everything to w; it may be called again.
func (s *spool) copyTo(w io.Writer) error {
	if s.file != nil {
		if err := s.flush(); err != nil {
			return err
		}
		if _, err := io.Copy(w, io.NewSectionReader(s.file, 0, 1<<62)); err != nil {
			return err
		}
		return nil
	}
	_, err := w.Write(s.mem.Bytes())
	return err
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close() // its bytes are not needed any more
		_ = os.Remove(s.file.Name())
		s.file = nil
	}
	s.mem = bytes.Buffer{}
}

// removeStaleSpools removes what a killed process left behind: spools of ours
// and those of formats, which are told by their ending.
func removeStaleSpools(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("work directory: %w", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "failed-") && strings.HasSuffix(e.Name(), ".tmp") || strings.HasSuffix(e.Name(), ".spool") {
			if err := os.Remove(dir + "/" + e.Name()); err != nil {
				return fmt.Errorf("work directory: %w", err)
			}
		}
	}
	return nil
}

// objectKey names an object like Amazon Data Firehose does:
// <prefix><name>-<version>-<yyyy-MM-dd-HH-mm-ss>-<uuid><extension>.
func (s *Stream) objectKey(prefix *Prefix, m Moment, id, extension string) (string, error) {
	head, err := prefix.Eval(m)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%s-1-%s-%s%s", head, s.opt.Name, m.Time.In(prefix.zone).Format("2006-01-02-15-04-05"), id, extension), nil
}

// documentID identifies a source record over all tries and all daemons.
func documentID(p *plan, o *outcome) string {
	return fmt.Sprintf("%s-%d-%d", p.After.Origin, o.shard.Shard, o.source.Sequence)
}

func since(now, then time.Time) time.Duration {
	if then.IsZero() {
		return 0
	}
	return max(now.Sub(then), 0)
}
