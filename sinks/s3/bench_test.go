package s3_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/firehosed/firehosed/sinks"
	"github.com/firehosed/firehosed/sinks/s3"
	"github.com/firehosed/firehosed/sinks/s3/s3test"
)

// sinkhole is a store that throws bodies away, so that the benchmark measures
// the sink.
func sinkhole() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch {
		case r.Method == http.MethodPost && r.URL.Query().Has("uploads"):
			_, _ = io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>")
		case r.Method == http.MethodPost:
			_, _ = io.WriteString(w, "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>")
		default:
			w.Header().Set("ETag", `"e"`)
		}
	}))
}

// BenchmarkPut shows MB/s and bytes allocated for each MB put, beside its
// floors: a bare HTTP PUT of the same bytes, and the same with the SHA-256 that
// the signature needs.
func BenchmarkPut(b *testing.B) {
	srv := sinkhole()
	defer srv.Close()
	piece := bytes.Repeat([]byte("{\"n\":1234567890,\"text\":\"some text\"}\n"), 1000)
	for _, mib := range []int{1, 64} {
		size := mib << 20
		measure := func(name string, f func() error) {
			b.Run(fmt.Sprintf("%s/%dMiB", name, mib), func(b *testing.B) {
				b.SetBytes(int64(size))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
				runtime.ReadMemStats(&after)
				b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N)/float64(mib)/1024, "KiB/MiB")
			})
		}
		write := func(w io.Writer) error {
			for n := 0; n < size; {
				m, err := w.Write(piece[:min(len(piece), size-n)])
				if err != nil {
					return err
				}
				n += m
			}
			return nil
		}
		client := &http.Client{Transport: &http.Transport{WriteBufferSize: 64 << 10}}
		body := bytes.Repeat(piece, size/len(piece)+1)[:size]
		bare := func() error {
			req, err := http.NewRequest(http.MethodPut, srv.URL+"/lake/k", bytes.NewReader(body))
			if err != nil {
				return err
			}
			resp, err := client.Do(req)
			if err != nil {
				return err
			}
			return resp.Body.Close()
		}
		measure("floor", bare)
		measure("floor+sha256", func() error {
			_ = sha256.Sum256(body)
			return bare()
		})
		s, err := s3.New(b.Context(), s3.Options{
			Bucket: "lake", Endpoint: srv.URL, PathStyle: true, Region: s3test.Region,
			Credentials: s3.Credentials{AccessKeyID: s3test.AccessKeyID, SecretAccessKey: s3test.SecretAccessKey},
		})
		if err != nil {
			b.Fatal(err)
		}
		measure("put", func() error {
			_, err := s.Put(b.Context(), sinks.Object{Key: "k", ID: "plan", Write: write})
			return err
		})
		_ = s.Close()
		client.CloseIdleConnections()
	}
}
