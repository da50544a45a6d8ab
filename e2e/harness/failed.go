package harness

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FailedRecord is one record of an error output, in the shape of Amazon Data
// Firehose.
type FailedRecord struct {
	Kind string `json:"-"` // the folder: processing-failed and so on

	AttemptsMade                    int
	ErrorCode, ErrorMessage         string
	LastErrorCode, LastErrorMessage string
	RawData                         []byte
	SequenceNumber, ShardID         string
}

// FailedRecords reads the error output in a folder, whose prefix is the default
// one: a folder for each kind of failure.
func FailedRecords(t testing.TB, dir string) []FailedRecord {
	t.Helper()
	var failed []FailedRecord
	for _, file := range Files(t, dir) {
		relative, err := filepath.Rel(dir, file)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(content) {
			f := FailedRecord{Kind: strings.Split(relative, string(filepath.Separator))[0]}
			if err := json.Unmarshal(line, &f); err != nil {
				t.Fatalf("%s: %v in %q", relative, err, line)
			}
			failed = append(failed, f)
		}
	}
	return failed
}
