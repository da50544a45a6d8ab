package e2e

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
)

const (
	jsonType  = "application/x-amz-json-1.1"
	cborType  = "application/x-amz-cbor-1.1"
	putRecord = "Kinesis_20131202.PutRecord"
)

// TestBadRequests sends what no client of AWS would send. Each is refused with
// a status and a code, nothing of it is stored, and the daemon goes on.
func TestBadRequests(t *testing.T) {
	d := harness.Run(t, harness.Settings{Body: "streams: { clicks: {} }\n"})
	good := fmt.Sprintf(`{"StreamName":"clicks","PartitionKey":"k","Data":%q}`, encode("good"))
	stored := 0
	serves := func(t *testing.T) {
		t.Helper()
		if status, body := d.Post(t, putRecord, jsonType, []byte(good)); status != 200 {
			t.Fatalf("a good request afterwards: status %d, %s", status, body)
		}
		stored++
	}
	refused := func(t *testing.T, what string, status int, body []byte, wantStatus int, wantType string) {
		t.Helper()
		if status != wantStatus || !bytes.Contains(body, []byte(wantType)) {
			t.Errorf("%s: status %d, %.300q; want %d, %s", what, status, body, wantStatus, wantType)
		}
	}

	t.Run("20 MiB body", func(t *testing.T) {
		huge := fmt.Appendf(nil, `{"StreamName":"clicks","PartitionKey":"k","Data":%q}`, strings.Repeat("QUJD", 5*mib))
		for name, reader := range map[string]io.Reader{
			"with its length": bytes.NewReader(huge),
			"in chunks":       io.MultiReader(bytes.NewReader(huge)), // a type without a length
		} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL, reader)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-Amz-Target", putRecord)
			req.Header.Set("Content-Type", jsonType)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: status %d, %s", name, resp.StatusCode, body)
			refused(t, name, resp.StatusCode, body, http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException")
		}
		peak, err := d.PeakRSS()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("peak memory %.1f MB", float64(peak)/1e6)
		serves(t)
	})

	t.Run("broken JSON", func(t *testing.T) {
		for _, body := range []string{
			"", "{", `{"StreamName":`, `[]`, `"x"`, `{"StreamName":"clicks","PartitionKey":"k","Data":"not base64!"}`,
			`{"StreamName":1,"PartitionKey":"k","Data":""}`, strings.Repeat("[", 1<<16), strings.Repeat(`{"a":`, 1<<16), good + "x", "\xff\xfe",
		} {
			status, answer := d.Post(t, putRecord, jsonType, []byte(body))
			if status != 400 || !bytes.Contains(answer, []byte("Exception")) {
				t.Errorf("%.60q: status %d, %.200q", body, status, answer)
			}
		}
		serves(t)
	})

	t.Run("broken CBOR", func(t *testing.T) {
		whole := cborPut("clicks", "k", []byte("by cbor"))
		for n := range len(whole) {
			status, answer := d.Post(t, putRecord, cborType, whole[:n])
			if status != 400 {
				t.Errorf("the first %d of %d bytes: status %d, %q", n, len(whole), status, answer)
			}
		}
		for name, body := range map[string][]byte{
			"a length of 2^64-1":   {0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
			"a string of 2^63":     {0xa1, 0x7b, 0x80, 0, 0, 0, 0, 0, 0, 0, 'x'},
			"endless nesting":      bytes.Repeat([]byte{0x9f}, 1<<18),
			"nested maps":          bytes.Repeat([]byte{0xa1, 0x61, 'a'}, 1<<16),
			"a map without end":    {0xbf, 0x61, 'a', 0x01},
			"a break alone":        {0xff},
			"a reserved length":    {0xbc, 0, 0, 0},
			"text that is no text": {0xa1, 0x61, 0xff, 0x01},
			"JSON":                 []byte(good),
			"more behind the end":  append(append([]byte(nil), whole...), 0x00),
		} {
			status, answer := d.Post(t, putRecord, cborType, body)
			if status != 400 {
				t.Errorf("%s: status %d, %.200q", name, status, answer)
			}
		}
		status, answer := d.Post(t, putRecord, cborType, whole[:len(whole)-1])
		refused(t, "one byte short", status, answer, 400, "SerializationException")
		if status, answer := d.Post(t, putRecord, cborType, whole); status != 200 {
			t.Errorf("the whole of it: status %d, %q", status, answer)
		} else {
			stored++
		}
		serves(t)
	})

	t.Run("unknown operation", func(t *testing.T) {
		for _, target := range []string{"Kinesis_20131202.Explode", "Kinesis_20131202", "DynamoDB_20120810.PutItem", ""} {
			status, answer := d.Post(t, target, jsonType, []byte("{}"))
			if status < 400 || status > 499 || !bytes.Contains(answer, []byte("UnknownOperationException")) {
				t.Errorf("%q: status %d, %.200q", target, status, answer)
			}
		}
		serves(t)
	})

	shards, err := listShards(t.Context(), d.Kinesis(), "clicks")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	if err := readToEnd(t.Context(), d.Kinesis(), "clicks", shards[0].id, func(types.Record) error { found++; return nil }); err != nil {
		t.Fatal(err)
	}
	if found != stored {
		t.Errorf("%d records are stored, %d were acknowledged", found, stored)
	}
	for _, line := range d.LogLines(t, "ERROR") {
		t.Errorf("bad requests are no errors of the daemon: %v", line)
	}
	d.MustStop(t)
}

// cborPut is a PutRecord as the SDK for Java sends it.
func cborPut(stream, key string, data []byte) []byte {
	head := func(major byte, n int) []byte {
		switch {
		case n < 24:
			return []byte{major<<5 | byte(n)}
		case n < 1<<8:
			return []byte{major<<5 | 24, byte(n)}
		}
		return binary.BigEndian.AppendUint16([]byte{major<<5 | 25}, uint16(n))
	}
	text := func(s string) []byte { return append(head(3, len(s)), s...) }
	body := []byte{0xbf} // a map without a length
	body = append(append(body, text("StreamName")...), text(stream)...)
	body = append(append(body, text("PartitionKey")...), text(key)...)
	body = append(append(body, text("Data")...), head(2, len(data))...)
	return append(append(body, data...), 0xff)
}

// spoil changes a request after it was signed.
type spoil struct{ change func(*http.Request) }

func (s spoil) Do(r *http.Request) (*http.Response, error) {
	s.change(r)
	return http.DefaultClient.Do(r)
}

// TestSignatures runs the daemon with keys: only requests that one of them
// signed are served.
func TestSignatures(t *testing.T) {
	tools := servers.Require(t, servers.AWSCLI)
	d := harness.Run(t, harness.Settings{
		Body: "streams: { clicks: {} }\n",
		HTTP: `, auth: sigv4, keys: [{ name: one, access_key: FIRSTKEY, secret_key: "first/secret+1" }, { access_key: OTHERKEY, secret_key: other }]`,
	})
	in := &kinesis.PutRecordInput{StreamName: aws.String("clicks"), PartitionKey: aws.String("k"), Data: []byte("x")}
	acknowledged := 0
	for _, tt := range []struct {
		name, access, secret string
		change               func(*http.Request)
		want                 string // code; empty: taken
	}{
		{"right", "FIRSTKEY", "first/secret+1", nil, ""},
		{"the other key", "OTHERKEY", "other", nil, ""},
		{"wrong secret", "FIRSTKEY", "first/secret+2", nil, "InvalidSignatureException"},
		{"secret of the other key", "FIRSTKEY", "other", nil, "InvalidSignatureException"},
		{"unknown key", "NOSUCHKEY", "first/secret+1", nil, "UnrecognizedClientException"},
		{"no signature", "FIRSTKEY", "first/secret+1", func(r *http.Request) { r.Header.Del("Authorization") }, "MissingAuthenticationTokenException"},
		{"changed body", "FIRSTKEY", "first/secret+1", func(r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			body = bytes.Replace(body, []byte("clicks"), []byte("clocks"), 1)
			r.Body = io.NopCloser(bytes.NewReader(body))
		}, "InvalidSignatureException"},
		{"changed target", "FIRSTKEY", "first/secret+1", func(r *http.Request) {
			r.Header.Set("X-Amz-Target", "Kinesis_20131202.DeleteStream")
		}, "InvalidSignatureException"},
	} {
		client := d.Kinesis(func(o *kinesis.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider(tt.access, tt.secret, "")
			o.Retryer = aws.NopRetryer{}
			if tt.change != nil {
				o.HTTPClient = spoil{tt.change}
			}
		})
		_, err := client.PutRecord(t.Context(), in)
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.want == "":
			acknowledged++
		case err == nil:
			t.Errorf("%s: taken", tt.name)
		case code(err) != tt.want:
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		default:
			t.Logf("%s: %.200v", tt.name, err)
		}
	}
	env := append(d.Environment(), "AWS_ACCESS_KEY_ID=FIRSTKEY", "AWS_SECRET_ACCESS_KEY=first/secret+1")
	harness.RunProgram(t, env, []int{0}, tools[0], "kinesis", "put-record", "--stream-name", "clicks", "--partition-key", "k", "--data", "eA==")
	acknowledged++
	env = append(d.Environment(), "AWS_ACCESS_KEY_ID=FIRSTKEY", "AWS_SECRET_ACCESS_KEY=wrong")
	harness.RunProgram(t, env, []int{254, 255}, tools[0], "kinesis", "list-streams")

	// Health and metrics need no signature, and say nothing of the keys.
	if h := d.Health(t); h.Code != 200 {
		t.Errorf("health: %+v", h)
	}
	if n := d.Metrics(t).Log(t, "records_total"); int(n) < acknowledged {
		t.Errorf("%.0f records in the log, %d acknowledged", n, acknowledged)
	}
	if logs := d.Log(t, 1<<20); strings.Contains(logs, "first/secret") {
		t.Error("the secret is in the log")
	}
	client := d.Kinesis(func(o *kinesis.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider("OTHERKEY", "other", "")
	})
	shards, err := listShards(t.Context(), client, "clicks")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	if err := readToEnd(t.Context(), client, "clicks", shards[0].id, func(types.Record) error { found++; return nil }); err != nil {
		t.Fatal(err)
	}
	if found != acknowledged {
		t.Errorf("%d records stored, %d acknowledged", found, acknowledged)
	}
}
