package s3_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/internal/faultproxy"
	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/s3"
	"github.com/firehosed/firehosed/sinks/s3/s3test"
)

// TestNetwork: whatever the network does in the middle of a Put, a second Put
// ends with one object that was written once.
func TestNetwork(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	proxy, err := faultproxy.New(strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	for i, tt := range []struct {
		name   string
		data   []byte
		mode   faultproxy.Mode
		stored bool // the store has it after the first try
		lost   int  // uploads that nobody knows of any more
	}{
		{"small, refused", small, faultproxy.Mode{Refuse: true}, false, 0},
		{"small, request lost", small, faultproxy.Mode{ResetRequest: true, Times: 1}, false, 0},
		{"small, answer lost", small, faultproxy.Mode{ResetAnswer: true, Times: 1}, true, 0},
		{"big, cut in a part", big, faultproxy.Mode{ResetRequest: true, AfterBytes: 7 << 20, Times: 1}, false, 0},
		{"big, gone for good", big, faultproxy.Mode{ResetRequest: true, AfterBytes: 1 << 20}, false, 0},
		// The id of the upload was in the answer: the upload stays, without a
		// part, until the bucket's lifecycle rule removes it.
		{"big, first answer lost", big, faultproxy.Mode{ResetAnswer: true, Times: 1}, false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSink(t, "http://"+proxy.Addr(), func(o *s3.Options) { o.PartBytes = s3.MinPartBytes })
			key := fmt.Sprint("k", i)
			proxy.Set(tt.mode)
			_, err := s.Put(t.Context(), object(key, "plan-1", tt.data))
			proxy.Set(faultproxy.Mode{})
			if err == nil || sinks.ClassOf(err) != sinks.Retry {
				t.Fatalf("got %v, want to try again", err)
			}
			if _, ok := srv.Object("lake", key); ok != tt.stored {
				t.Fatalf("stored %v after the first try, want %v", ok, tt.stored)
			}
			st, err := s.Put(t.Context(), object(key, "plan-1", tt.data))
			if err != nil || st.Existed != tt.stored || st.Bytes != int64(len(tt.data)) {
				t.Fatalf("second try: %+v, %v", st, err)
			}
			if o, _ := srv.Object("lake", key); o.Writes != 1 {
				t.Errorf("written %d times", o.Writes)
			}
			// One successful Put clears one upload away that could not be.
			if left := srv.Uploads(); len(left) != tt.lost {
				t.Errorf("unfinished uploads: %q, want %d", left, tt.lost)
			}
		})
	}
}

// TestLastAnswerLost: the store completed the upload, the network lost the
// answer; the sink looks, and the Put succeeds.
func TestLastAnswerLost(t *testing.T) {
	srv := s3test.New("lake")
	defer srv.Close()
	proxy, err := faultproxy.New(strings.TrimPrefix(srv.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	s := newSink(t, "http://"+proxy.Addr(), nil)
	srv.SetFault(func(op s3test.Op) s3test.Fault {
		if op.Name == "CompleteMultipartUpload" {
			proxy.Set(faultproxy.Mode{ResetAnswer: true, Times: 1})
		}
		return s3test.Fault{}
	})
	st, err := s.Put(t.Context(), object("k", "plan-1", big))
	if err != nil || !st.Existed || st.Bytes != int64(len(big)) {
		t.Fatalf("got %+v, %v", st, err)
	}
	if o, _ := srv.Object("lake", "k"); o.Writes != 1 || proxy.Broken() != 1 || len(srv.Uploads()) != 0 {
		t.Errorf("written %d times, %d answers lost, uploads %q", o.Writes, proxy.Broken(), srv.Uploads())
	}
}
