package contract

import (
	"strings"
	"testing"

	"github.com/firehosed/firehosed/transform"
)

// FuzzDecode checks that whatever the answer, there is a fault with a code and
// a bounded message, or an outcome for every record.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"records":[{"recordId":"a","result":"Ok","data":"YQ==","metadata":{"partitionKeys":{"k":"v","n":1}}},{"recordId":"b","result":"Dropped"}]}`,
		`{"records":[{"recordId":"a","result":"ProcessingFailed"},{"recordId":"b","result":"x","data":"%"}]} `,
		`{"x":[{}],"records":[{"recordId":"a"},{"recordId":"a"}]}`, `[]`, `{"records":7}`, `{"records":[7]}`, `{`, `<`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		in := []transform.Record{{ID: "a", Data: []byte("1")}, {ID: "b", Data: []byte("2")}}
		_, index := recordIDs(in)
		out, bad := decode("Lambda", answer, in, index)
		if bad != nil {
			if out != nil || bad.Class != Refused || bad.Code == "" || bad.Message == "" || len(bad.Message) > 1024 {
				t.Fatalf("%q: %+v", answer, bad)
			}
			return
		}
		if len(out) != 2 {
			t.Fatalf("%q: %d outcomes", answer, len(out))
		}
		for i, o := range out {
			switch o.Verdict {
			case transform.OK:
				if o.Record.ID != in[i].ID || len(o.Record.PartitionKeys) > maxPartitionKeys {
					t.Fatalf("%q: %+v", answer, o)
				}
			case transform.Failed:
				if !strings.HasPrefix(o.Code, "Lambda.") || o.Message == "" || len(o.Message) > 1024 {
					t.Fatalf("%q: %+v", answer, o)
				}
			}
		}
		if string(in[0].Data)+string(in[1].Data) != "12" {
			t.Fatalf("%q: records were changed", answer)
		}
	})
}
