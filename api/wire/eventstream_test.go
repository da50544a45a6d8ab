package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// eventFrameOf renders an event as an EventWriter does.
func eventFrameOf(kind string, payload []byte) []byte {
	return endFrame(append(beginEvent(nil, kind), payload...), 0)
}

// TestGoldenFrames compares frames with those in testdata, which were made once
// by the encoder of aws-sdk-go-v2 (eventstream 1.7).
func TestGoldenFrames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		frame []byte
	}{
		{"initial-response", eventFrameOf("initial-response", []byte("{}"))},
		{"heartbeat", eventFrameOf("SubscribeToShardEvent", []byte(`{"Records":[],"ContinuationSequenceNumber":"49594189147623985939251953501666965394405037144469929986","MillisBehindLatest":0}`))},
		{"exception", appendException(nil, Errorf("ResourceNotFoundException", "Stream \"s\" under account %s not found.", "123456789012"))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata", "eventstream", tt.name+".hex"))
			if err != nil {
				t.Fatal(err)
			}
			want, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(tt.frame, want) {
				t.Errorf("got\n%s\nwant\n%s", hex.Dump(tt.frame), hex.Dump(want))
			}
		})
	}
}

// FuzzFrames decodes frames of any payload and message with the decoder of the
// SDK, one after the other.
func FuzzFrames(f *testing.F) {
	f.Add("SubscribeToShardEvent", []byte(`{"Records":[]}`), "ResourceInUseException", "text \"\x00\xff é\u2028")
	f.Add("", []byte{}, "", "")
	f.Add(strings.Repeat("k", 1000), make([]byte, 100_000), "x", strings.Repeat("\x01", 1000))
	f.Fuzz(func(t *testing.T, kind string, payload []byte, code, message string) {
		if len(kind) > 1<<15-1 || len(code) > 1<<15-1 {
			t.Skip("the decoder takes no longer header; kinds and codes are constants")
		}
		frames := append(beginEvent(nil, kind), payload...)
		frames = endFrame(frames, 0)
		frames = appendException(frames, &Error{Code: code, Message: message})
		r := bytes.NewReader(frames)
		m, err := eventstream.NewDecoder().Decode(r, nil)
		if err != nil || !bytes.Equal(m.Payload, payload) || header(m, ":event-type") != kind ||
			header(m, ":message-type") != "event" || header(m, ":content-type") != "application/json" {
			t.Fatalf("event: %v, %v", m, err)
		}
		m, err = eventstream.NewDecoder().Decode(r, nil)
		var body struct {
			Message string `json:"message"`
		}
		if err != nil || json.Unmarshal(m.Payload, &body) != nil || header(m, ":exception-type") != code || header(m, ":message-type") != "exception" ||
			body.Message != string([]rune(message)) {
			t.Fatalf("exception: %v, %v", m, err)
		}
		if r.Len() != 0 {
			t.Fatalf("%d bytes are left over", r.Len())
		}
	})
}

func header(m eventstream.Message, name string) string {
	v := m.Headers.Get(name)
	if v == nil {
		return "absent"
	}
	return v.String()
}

// TestFrameReusesMemory encodes an event into memory that is there.
func TestFrameReusesMemory(t *testing.T) {
	payload := bytes.Repeat([]byte("x"), 1<<20)
	buf := make([]byte, 0, 1<<20+500)
	if n := testing.AllocsPerRun(10, func() {
		buf = endFrame(append(beginEvent(buf[:0], "SubscribeToShardEvent"), payload...), 0)
	}); n != 0 {
		t.Errorf("%v allocations for a frame", n)
	}
}

func BenchmarkFrame(b *testing.B) {
	payload := bytes.Repeat([]byte("x"), 1<<20)
	buf := make([]byte, 0, 1<<20+500)
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		buf = append(beginEvent(buf[:0], "SubscribeToShardEvent"), payload...)
		buf = endFrame(buf, 0)
	}
}
