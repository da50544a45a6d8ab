package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
)

// TestRecordsThatAreNoJSON puts records that fit no Parquet file among records
// that do: they are in the error output as they were put, the others in Parquet.
func TestRecordsThatAreNoJSON(t *testing.T) {
	servers.Require(t, servers.Python)
	out := t.TempDir()
	delivery := func(name, schema string) string {
		return fmt.Sprintf(`
  %[1]s:
    source: { direct_put: {} }
    buffer: { interval: 500ms }
    format: { parquet: { schema: %[2]s } }
    destination: { dir: { path: %[3]q } }
    errors: { dir: { path: %[4]q } }
`, name, schema, filepath.Join(out, name), filepath.Join(out, name+"-errors"))
	}
	d := harness.Run(t, harness.Settings{Body: "delivery_streams:" +
		delivery("inferred", "inferred") +
		delivery("declared", `{ columns: [{ name: n, type: bigint, optional: false }, { name: text, type: string }] }`)})
	noJSON := []string{"no JSON", "{", `{"n":1`, `"text"`, "[1,2]", "", "\xff\xfe", `{"n":1} {"n":`, `{"n":NaN}`, strings.Repeat("[", 5000)}
	for _, tt := range []struct {
		stream string
		bad    []string
	}{
		{"inferred", noJSON},
		{"declared", append([]string{`{"text":"no n"}`, `{"n":"twelve"}`, `{"n":1e99}`, `{"n":null}`, `{"n":{"n":1}}`}, noJSON...)},
	} {
		var good, all []string
		for n := range 200 {
			line := fmt.Sprintf(`{"n":%d,"text":"line %d"}`, n, n)
			good, all = append(good, line), append(all, line)
			if n%10 == 0 && n/10 < len(tt.bad) {
				all = append(all, tt.bad[n/10])
			}
		}
		putBatch(t, d, tt.stream, notEmpty(all)...)
		d.AwaitDrained(t, harness.Patience, tt.stream)
		arrived(t, tt.stream, nil, filepath.Join(out, tt.stream), good, "--format=parquet")
		failedAre(t, d, tt.stream, filepath.Join(out, tt.stream+"-errors"), "format-conversion-failed", notEmpty(tt.bad))
	}
	d.MustStop(t)
}

// notEmpty leaves out empty records, which the Firehose API does not take.
func notEmpty(records []string) []string {
	var kept []string
	for _, r := range records {
		if r != "" {
			kept = append(kept, r)
		}
	}
	return kept
}

// failedAre compares the error output of a delivery stream with the records
// that have to be there, each once, with a reason, and counted.
func failedAre(t *testing.T, d *harness.Daemon, stream, dir, kind string, want []string) {
	t.Helper()
	wanted := map[string]int{}
	for _, r := range want {
		wanted[r]++
	}
	failed := harness.FailedRecords(t, dir)
	reasons := map[string]int{}
	for _, f := range failed {
		code, message := f.ErrorCode+f.LastErrorCode, f.ErrorMessage+f.LastErrorMessage
		reasons[code]++
		if f.Kind != kind || code == "" || message == "" || f.SequenceNumber == "" {
			t.Errorf("%s: failed record in %s with code %q, message %q, sequence number %q", stream, f.Kind, code, message, f.SequenceNumber)
		}
		if wanted[string(f.RawData)]--; wanted[string(f.RawData)] < 0 {
			t.Errorf("%s: %.100q failed once too often: %s %s", stream, f.RawData, code, message)
		}
	}
	for r, n := range wanted {
		if n > 0 {
			t.Errorf("%s: %.100q is not in the error output", stream, r)
		}
	}
	t.Logf("%s: %d records in %s: %v", stream, len(failed), kind, reasons)
	if n := d.Metrics(t).Failed(stream, kind); int(n) != len(want) {
		t.Errorf("%s: %.0f records counted as %s, want %d", stream, n, kind, len(want))
	}
}

// lambdaRequest is what Firehose sends to a function.
type lambdaRequest struct {
	InvocationID string
	Records      []struct{ RecordID, Data string }
}

type lambdaResult struct {
	RecordID string `json:"recordId"`
	Result   string `json:"result"`
	Data     string `json:"data,omitempty"`
}

// whole answers a batch with one record with something that is no answer.
var whole = map[string]func(w http.ResponseWriter, id, data string){
	"html":    func(w http.ResponseWriter, _, _ string) { fmt.Fprint(w, "<html>it works</html>") },
	"empty":   func(http.ResponseWriter, string, string) {},
	"null":    func(w http.ResponseWriter, _, _ string) { fmt.Fprint(w, "null") },
	"cut":     func(w http.ResponseWriter, id, _ string) { fmt.Fprintf(w, `{"records":[{"recordId":%q,"res`, id) },
	"no list": func(w http.ResponseWriter, _, _ string) { fmt.Fprint(w, `{"records":"none"}`) },
	"nobody":  func(w http.ResponseWriter, _, _ string) { fmt.Fprint(w, `{"records":[]}`) },
	"stranger": func(w http.ResponseWriter, _, data string) {
		fmt.Fprintf(w, `{"records":[{"recordId":"x","result":"Ok","data":%q}]}`, data)
	},
	"error 500": func(w http.ResponseWriter, _, _ string) { http.Error(w, "panic: nil", http.StatusInternalServerError) },
	"hangs up": func(http.ResponseWriter, string, string) {
		panic(http.ErrAbortHandler)
	},
	"endless": func(w http.ResponseWriter, _, _ string) {
		junk := []byte(strings.Repeat(" ", 1<<16))
		for range 400 { // 25 MiB, above what an answer may have
			if _, err := w.Write(junk); err != nil {
				return
			}
		}
	},
}

// single is nonsense about one record among others.
var single = map[string]func(*lambdaResult){
	"unknown result": func(r *lambdaResult) { r.Result = "Perhaps" },
	"no base64":      func(r *lambdaResult) { r.Data = "%%%" },
	"refused":        func(r *lambdaResult) { r.Result = "ProcessingFailed" },
}

// TestLambdaThatAnswersNonsense runs a function over records that answers some
// of them as no function should. Those are in the error output as they were put,
// the others are delivered as the function changed them.
func TestLambdaThatAnswersNonsense(t *testing.T) {
	servers.Require(t, servers.Python)
	var calls atomic.Int64
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		var in lambdaRequest
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.Records) == 0 {
			t.Errorf("the daemon sent no request of the contract: %v", err)
			return
		}
		var out struct {
			Records []lambdaResult `json:"records"`
		}
		for _, rec := range in.Records {
			raw, err := base64.StdEncoding.DecodeString(rec.Data)
			var v map[string]any
			if err == nil {
				err = json.Unmarshal(raw, &v)
			}
			if err != nil {
				t.Errorf("record %q: %v", rec.Data, err)
				return
			}
			kind, _ := v["kind"].(string)
			if answer := whole[kind]; answer != nil {
				if len(in.Records) != 1 {
					t.Errorf("batch_records is 1, the batch has %d", len(in.Records))
				}
				answer(w, rec.RecordID, rec.Data)
				return
			}
			result := lambdaResult{RecordID: rec.RecordID, Result: "Ok", Data: encode(strings.Replace(string(raw), `"kind"`, `"seen"`, 1))}
			if kind == "drop" {
				result.Result, result.Data = "Dropped", ""
			}
			if change := single[kind]; change != nil {
				change(&result)
			}
			out.Records = append(out.Records, result)
		}
		if err := json.NewEncoder(w).Encode(out); err != nil {
			t.Error(err)
		}
	}))
	defer function.Close()
	out := t.TempDir()
	delivery := func(name string, batch int) string {
		return fmt.Sprintf(`
  %[1]s:
    source: { direct_put: {} }
    transforms: [{ lambda: { url: %[2]q, retries: 1, timeout: 10s, batch_records: %[3]d } }]
    buffer: { interval: 500ms }
    destination: { dir: { path: %[4]q } }
    errors: { dir: { path: %[5]q } }
`, name, function.URL, batch, filepath.Join(out, name), filepath.Join(out, name+"-errors"))
	}
	d := harness.Run(t, harness.Settings{Body: "delivery_streams:" + delivery("alone", 1) + delivery("together", 100)})
	kinds := map[string][]string{"alone": {"drop"}, "together": {"drop"}}
	for kind := range whole {
		kinds["alone"] = append(kinds["alone"], kind)
	}
	for kind := range single {
		kinds["alone"] = append(kinds["alone"], kind)
		kinds["together"] = append(kinds["together"], kind)
	}
	for _, stream := range []string{"alone", "together"} {
		var put, good, bad []string
		for n := range 100 {
			put = append(put, fmt.Sprintf(`{"kind":"good","n":%d}`, n))
			good = append(good, fmt.Sprintf(`{"seen":"good","n":%d}`, n))
			if n%5 == 0 && n/5 < len(kinds[stream]) {
				kind := kinds[stream][n/5]
				line := fmt.Sprintf(`{"kind":%q,"n":%d}`, kind, n)
				put = append(put, line)
				if kind != "drop" {
					bad = append(bad, line)
				}
			}
		}
		putBatch(t, d, stream, put...)
		d.AwaitDrained(t, harness.Patience, stream)
		arrived(t, stream, nil, filepath.Join(out, stream), good, "--format=ndjson")
		failedAre(t, d, stream, filepath.Join(out, stream+"-errors"), "processing-failed", bad)
		if n := d.Metrics(t).Delivery(t, "records_dropped_total", stream); n != 1 {
			t.Errorf("%s: %.0f records dropped, want 1", stream, n)
		}
	}
	t.Logf("%d calls of the function", calls.Load())
	d.MustStop(t)
}

// TestUnreadableFile follows two files of which one cannot be read: it says so,
// reads the other, and catches up when it can.
func TestUnreadableFile(t *testing.T) {
	logs, out := t.TempDir(), t.TempDir()
	settings := harness.Settings{Body: fmt.Sprintf(`
delivery_streams:
  logs:
    source: { file: { include: [%q], poll: 100ms } }
    format: raw
    buffer: { interval: 300ms }
    destination: { dir: { path: %q } }
`, filepath.Join(logs, "*.log"), out)}
	if os.Geteuid() == 0 {
		// Root may read every file unless it gives up the right to.
		setpriv, err := exec.LookPath("setpriv")
		if err != nil {
			t.Skipf("root reads all files, and there is no setpriv: %v", err)
		}
		settings.Wrap = []string{setpriv, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"}
	}
	write := func(name string, mode os.FileMode) (file string, lines []string) {
		file = filepath.Join(logs, name)
		for n := range 50 {
			lines = append(lines, fmt.Sprintf("%s line %d", name, n))
		}
		if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		return file, lines
	}
	_, open := write("open.log", 0o644)
	secret, closed := write("secret.log", 0)
	d := harness.Run(t, settings)
	const unreadable = `firehosed_source_file_unreadable_files{delivery_stream="logs"}`
	harness.Eventually(t, harness.Patience, "the readable file, and the count of the other", func() error {
		m := d.Metrics(t)
		if m[unreadable] != 1 || m.Delivery(t, "records_delivered_total", "logs") != float64(len(open)) {
			return fmt.Errorf("%.0f unreadable, %.0f delivered", m[unreadable], m.Delivery(t, "records_delivered_total", "logs"))
		}
		return nil
	})
	said := 0
	for _, line := range d.LogLines(t, "ERROR") {
		if line["path"] == secret {
			said++
			t.Logf("%v: %v (%v)", line["msg"], line["error"], line["hint"])
		}
	}
	if said != 1 {
		t.Errorf("the log names the file %d times, want once", said)
	}
	if err := os.Chmod(secret, 0o644); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, harness.Patience, "the file that can be read now", func() error {
		m := d.Metrics(t)
		if n := m.Delivery(t, "records_delivered_total", "logs"); n != float64(len(open)+len(closed)) || m[unreadable] != 0 {
			return fmt.Errorf("%.0f delivered, %.0f unreadable", n, m[unreadable])
		}
		return nil
	})
	arrived(t, "both files", nil, out, append(open, closed...), "--format=raw")
}
