package transform

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// each is a step that looks at one record at a time.
type each struct {
	f       func(*Record) Outcome
	unsure  bool
	batches []int
	closed  error
}

func (e *each) Transform(_ context.Context, in []Record) ([]Outcome, error) {
	e.batches = append(e.batches, len(in))
	out := make([]Outcome, len(in))
	for i := range in {
		out[i] = e.f(&in[i])
	}
	return out, nil
}

func (e *each) Deterministic() bool { return !e.unsure }
func (e *each) Close() error        { return e.closed }

type broken struct {
	each
	out []Outcome
	err error
}

func (b *broken) Transform(context.Context, []Record) ([]Outcome, error) { return b.out, b.err }

func appendStep(suffix string) *each {
	return &each{f: func(r *Record) Outcome {
		r.SetData([]byte(string(r.Data) + suffix))
		return Outcome{Record: *r}
	}}
}

func records(data ...string) []Record {
	in := make([]Record, len(data))
	for i, d := range data {
		in[i] = Record{ID: fmt.Sprint(i), Data: []byte(d)}
	}
	return in
}

func TestChainOrderAndVerdicts(t *testing.T) {
	judge := &each{unsure: true, f: func(r *Record) Outcome {
		switch {
		case strings.HasPrefix(string(r.Data), "drop"):
			return Outcome{Verdict: Dropped}
		case strings.HasPrefix(string(r.Data), "fail"):
			return Outcome{Verdict: Failed, Code: "Test.No", Message: "no"}
		}
		return Outcome{Record: *r}
	}}
	last := appendStep("2")
	c := NewChain(Step{"transforms[0] a", appendStep("1")}, Step{"transforms[1] judge", judge}, Step{"transforms[2] b", last})
	if c.Deterministic() {
		t.Error("a chain with a step that is not deterministic calls itself so")
	}
	in := records("x", "drop", "y", "fail", "z")
	out, err := c.Transform(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range out {
		got = append(got, fmt.Sprintf("%v %s%s %q %s %d", o.Verdict, o.Record.ID, o.Record.Data, o.Step, o.Code, o.Attempts))
	}
	want := []string{
		`ok 0x12 ""  0`,
		`dropped  "transforms[1] judge"  0`,
		`ok 2y12 ""  0`,
		`failed  "transforms[1] judge" Test.No 1`,
		`ok 4z12 ""  0`,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(last.batches) != 1 || last.batches[0] != 3 {
		t.Errorf("last step saw batches of %v, want one of 3", last.batches)
	}
	if string(in[0].Data) != "x" {
		t.Errorf("the caller's records were changed: %q", in[0].Data)
	}
}

func TestChainOfNothing(t *testing.T) {
	c := NewChain()
	out, err := c.Transform(t.Context(), records("a"))
	if err != nil || len(out) != 1 || out[0].Verdict != OK || string(out[0].Record.Data) != "a" {
		t.Errorf("got %v, %v", out, err)
	}
	if out, err := c.Transform(t.Context(), nil); err != nil || len(out) != 0 {
		t.Errorf("empty batch: got %v, %v", out, err)
	}
	if !c.Deterministic() {
		t.Error("a chain of nothing is not deterministic")
	}
}

func TestChainChunksOnlyDeterministicSteps(t *testing.T) {
	pure, remote := appendStep(""), appendStep("")
	remote.unsure = true
	c := NewChain(Step{"pure", pure}, Step{"remote", remote})
	if _, err := c.Transform(t.Context(), make([]Record, 2*chunkRecords+1)); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(pure.batches, remote.batches); got != "[512 512 1] [1025]" {
		t.Errorf("batches %s", got)
	}
	pure.batches = nil
	if _, err := c.Transform(t.Context(), records(strings.Repeat("x", chunkBytes), "y")); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(pure.batches); got != "[1 1]" {
		t.Errorf("batches by bytes %s", got)
	}
}

// Decoded values of a whole batch would take many times its bytes.
func TestChainForgetsDecodedValues(t *testing.T) {
	decode := &each{f: func(r *Record) Outcome {
		if _, err := r.Value(); err != nil {
			return Fail("Test.JSON", err.Error())
		}
		return Outcome{Record: *r}
	}}
	out, err := NewChain(Step{"decode", decode}).Transform(t.Context(), records(`{"a":1}`))
	if err != nil || out[0].Verdict != OK || out[0].Record.value != nil {
		t.Errorf("got %v %v, %v", out[0].Verdict, out[0].Record.value, err)
	}
}

func TestChainErrors(t *testing.T) {
	boom := errors.New("no permission")
	for _, tt := range []struct {
		name string
		step Transformer
		want string
	}{
		{"error", &broken{err: boom}, "transforms[0] x: no permission"},
		{"too few outcomes", &broken{out: make([]Outcome, 1)}, "transforms[0] x: 1 outcomes for 2 records"},
		{"unknown verdict", &broken{out: []Outcome{{Verdict: 9}, {}}}, "transforms[0] x: verdict 9 is unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewChain(Step{"transforms[0] x", tt.step}).Transform(t.Context(), records("a", "b"))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NewChain().Transform(ctx, records("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: got %v", err)
	}
	bad, good := &each{closed: boom}, &each{}
	if err := NewChain(Step{"a", bad}, Step{"b", good}).Close(); !errors.Is(err, boom) || err.Error() != "a: no permission" {
		t.Errorf("Close: got %v", err)
	}
}
