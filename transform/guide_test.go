package transform_test

import (
	"bytes"
	"fmt"
	"os"
	osexec "os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/firehosed/firehosed/transform"
	"github.com/firehosed/firehosed/transform/exec"
	"github.com/firehosed/firehosed/transform/filter"
	"github.com/firehosed/firehosed/transform/jq"
	"github.com/firehosed/firehosed/transform/lambda"
	"github.com/firehosed/firehosed/transform/parse"
)

const guide = "../docs/guide/transforms.md"

// blocks returns the fenced blocks of the guide: language and text.
func blocks(t *testing.T) [][2]string {
	b, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	var all [][2]string
	for _, m := range regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$").FindAllStringSubmatch(string(b), -1) {
		all = append(all, [2]string{m[1], m[2]})
	}
	return all
}

type guideStep struct {
	Parse *struct {
		Format, Pattern, Delimiter, Field string
		Columns                           []string
		RawField                          string `yaml:"raw_field"`
		OnError                           string `yaml:"on_error"`
	}
	Filter *struct{ Expr string }
	JQ     *struct{ Query, Timeout string }
	Lambda *struct {
		URL, Function, Region, Timeout string
		Headers                        map[string]string
		Retries, Concurrency           int
		BatchSize                      string `yaml:"batch_size"`
		BatchRecords                   int    `yaml:"batch_records"`
	}
	Exec *struct {
		Command []string
		Env     map[string]string
		Workers int
		Timeout string
		Restart struct{ Initial, Max string }
	}
}

func (s guideStep) open(t *testing.T) transform.Transformer {
	var tr transform.Transformer
	var err error
	switch {
	case s.Parse != nil:
		p := s.Parse
		tr, err = parse.New(parse.Options{
			Format: p.Format, Pattern: p.Pattern, Delimiter: p.Delimiter, Field: p.Field,
			Columns: p.Columns, RawField: p.RawField, OnError: p.OnError,
		})
	case s.Filter != nil:
		tr, err = filter.New(filter.Options{Expr: s.Filter.Expr})
	case s.JQ != nil:
		tr, err = jq.New(jq.Options{Query: s.JQ.Query})
	case s.Lambda != nil:
		l := s.Lambda
		tr, err = lambda.New(t.Context(), lambda.Options{
			URL: l.URL, Function: l.Function, Region: l.Region, Retries: l.Retries, Concurrency: l.Concurrency, BatchRecords: l.BatchRecords,
		})
	case s.Exec != nil:
		tr, err = exec.New(exec.Options{Command: s.Exec.Command, Workers: s.Exec.Workers})
	default:
		t.Fatal("a step of no kind")
	}
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// TestGuide runs every example of the guide.
func TestGuide(t *testing.T) {
	var chain *transform.Chain
	examples := 0
	for _, b := range blocks(t) {
		switch b[0] {
		case "yaml":
			var doc struct{ Transforms []guideStep }
			d := yaml.NewDecoder(strings.NewReader(b[1]))
			d.KnownFields(true)
			if err := d.Decode(&doc); err != nil {
				t.Fatalf("%v\n%s", err, b[1])
			}
			var steps []transform.Step
			for i, s := range doc.Transforms {
				steps = append(steps, transform.Step{Name: fmt.Sprintf("transforms[%d]", i), T: s.open(t)})
			}
			if len(steps) == 0 {
				t.Fatalf("no steps in\n%s", b[1])
			}
			chain = transform.NewChain(steps...)
			defer func() {
				if err := chain.Close(); err != nil {
					t.Error(err)
				}
			}()
		case "text":
			lines := strings.Split(strings.TrimSuffix(b[1], "\n"), "\n")
			for i := 0; i+1 < len(lines); i += 2 {
				in, ok1 := strings.CutPrefix(lines[i], "in:  ")
				want, ok2 := strings.CutPrefix(lines[i+1], "out: ")
				if !ok1 || !ok2 {
					t.Fatalf("not in and out:\n%s\n%s", lines[i], lines[i+1])
				}
				examples++
				out, err := chain.Transform(t.Context(), []transform.Record{{Data: []byte(in)}})
				if err != nil {
					t.Fatal(err)
				}
				got := string(out[0].Record.Data)
				switch out[0].Verdict {
				case transform.Dropped:
					got = "dropped"
				case transform.Failed:
					got = "fails: " + out[0].Code
				}
				if got != want {
					t.Errorf("%s\ngot  %s (%s)\nwant %s", in, got, out[0].Message, want)
				}
			}
		}
	}
	if examples < 20 {
		t.Errorf("only %d examples found", examples)
	}
}

// TestGuideProgram runs the program of the guide as the exec step it is for.
func TestGuideProgram(t *testing.T) {
	python, err := osexec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3 to run the program of the guide with")
	}
	for _, b := range blocks(t) {
		if b[0] != "python" {
			continue
		}
		file := filepath.Join(t.TempDir(), "shout.py")
		if err := os.WriteFile(file, []byte(b[1]), 0o600); err != nil {
			t.Fatal(err)
		}
		e, err := exec.New(exec.Options{Command: []string{python, file}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		for range 3 {
			out, err := e.Transform(t.Context(), []transform.Record{{Data: []byte("grüße")}, {}, {Data: []byte{0xff}}, {Data: bytes.Repeat([]byte("x"), 1<<20)}})
			if err != nil {
				t.Fatal(err)
			}
			if string(out[0].Record.Data) != "GRÜSSE" || out[1].Verdict != transform.Dropped || out[2].Code != "Exec.ProcessingFailedStatus" || len(out[3].Record.Data) != 1<<20 {
				t.Errorf("got %v %q, %v, %v %s, %v %s", out[0].Verdict, out[0].Record.Data, out[1].Verdict, out[2].Verdict, out[2].Code, out[3].Verdict, out[3].Message)
			}
		}
		return
	}
	t.Error("the guide has no program")
}
