package delivery

import (
	"bytes"
	"testing"

	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/transform"
)

func sampleOutcome() *outcome {
	return &outcome{
		shard:  planRange{Shard: 7},
		source: streams.Record{Sequence: 1 << 40},
		Outcome: transform.Outcome{
			Verdict: transform.Failed, Code: "C", Message: "m", Step: "transforms[0] lambda", Attempts: 4,
			Record: transform.Record{Data: []byte("data")},
		},
	}
}

func TestKeptRoundTrip(t *testing.T) {
	in := sampleOutcome()
	shard, seq, got, err := decodeKept(bytes.NewReader(encodeKept(in)))
	if err != nil {
		t.Fatal(err)
	}
	if shard != 7 || seq != 1<<40 || got.Verdict != in.Verdict || got.Code != in.Code || got.Message != in.Message ||
		got.Step != in.Step || got.Attempts != in.Attempts || !bytes.Equal(got.Record.Data, in.Record.Data) {
		t.Errorf("came back as %v %v %+v", shard, seq, got)
	}
}

func TestKeptFlipEveryByte(t *testing.T) {
	whole := encodeKept(sampleOutcome())
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 0x40
		if _, _, o, err := decodeKept(bytes.NewReader(b)); err == nil {
			t.Errorf("byte %d flipped, and read as %+v", i, o)
		}
	}
	for n := range whole {
		if _, _, _, err := decodeKept(bytes.NewReader(whole[:n])); err == nil {
			t.Errorf("%d of %d bytes were enough", n, len(whole))
		}
	}
}

func FuzzKept(f *testing.F) {
	f.Add(encodeKept(sampleOutcome()))
	f.Add([]byte{0, 0, 0, 17})
	f.Fuzz(func(t *testing.T, b []byte) {
		shard, seq, o, err := decodeKept(bytes.NewReader(b))
		if err != nil {
			return
		}
		again := encodeKept(&outcome{shard: planRange{Shard: shard}, source: streams.Record{Sequence: seq}, Outcome: o})
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("%x was read as something else than %x", b, again)
		}
	})
}

func FuzzState(f *testing.F) {
	f.Add([]byte(`{"v":1,"id":"x","ranges":[{"shard":0,"from":1,"to":2}],"after":{"v":1,"shards":{"0":{"next":2}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Whatever lies in the state, it is taken or refused.
		p, err := decodeState(b, "plan", func(p *plan) int { return p.Version })
		if err == nil && b != nil && p.Version > stateVersion {
			t.Fatal("a newer version was taken")
		}
	})
}
