package opensearch

import (
	"strings"
	"testing"
)

func TestDecodeBulk(t *testing.T) {
	ok := `{"took":30,"errors":true,"items":[{"index":{"_index":"a","_id":"1","status":201}},` +
		`{"create":{"_id":"2","status":400,"error":{"type":"mapper_parsing_exception","reason":"failed","caused_by":{"type":"i","reason":"deep"}}}}],"x":{"y":[1]}}`
	items, err := decodeBulk(strings.NewReader(ok), 2)
	if err != nil || items[0].verdict(OpIndex) != nil || items[1].ID != "2" {
		t.Fatalf("got %+v, %v", items, err)
	}
	if e := items[1].verdict(OpIndex); e == nil || e.Error() != "400: mapper_parsing_exception: failed; caused by i: deep" {
		t.Errorf("got %v", e)
	}
	for name, in := range map[string]string{
		"empty":          "",
		"no object":      "[]",
		"cut":            ok[:len(ok)/2],
		"too few":        `{"items":[{"index":{"_id":"1","status":201}}]}`,
		"too many":       `{"items":[{"index":{"status":201}},{"index":{"status":201}},{"index":{"status":201}}]}`,
		"no items":       `{"took":1}`,
		"items no array": `{"items":{}}`,
		"two actions":    `{"items":[{"index":{"status":201},"create":{"status":201}},{"index":{"status":201}}]}`,
		"no action":      `{"items":[{},{"index":{"status":201}}]}`,
		"no status":      `{"items":[{"index":{"_id":"1"}},{"index":{"status":201}}]}`,
		"status is text": `{"items":[{"index":{"status":"201"}},{"index":{"status":201}}]}`,
		"items twice":    `{"items":[],"items":[{"index":{"status":201}},{"index":{"status":201}}]}`,
	} {
		if items, err := decodeBulk(strings.NewReader(in), 2); err == nil {
			t.Errorf("%s: got %+v", name, items)
		}
	}
	long := `{"items":[{"index":{"_id":"1","status":400,"error":"` + strings.Repeat("é", 3000) + `"}}]}`
	items, err = decodeBulk(strings.NewReader(long), 1)
	if err != nil {
		t.Fatal(err)
	}
	if e := items[0].verdict(OpIndex); len(e.Error()) > maxReason+20 {
		t.Errorf("a reason of %d bytes", len(e.Error()))
	}
}

// FuzzDecodeBulk: whatever a server answers, there is a verdict for each
// document or an error.
func FuzzDecodeBulk(f *testing.F) {
	f.Add([]byte(`{"took":1,"errors":false,"items":[{"index":{"_id":"1","status":201}}]}`), 1)
	f.Add([]byte(`{"items":[{"create":{"_id":"1","status":409,"error":{"type":"x","reason":"y","caused_by":{"caused_by":null}}}}]}`), 1)
	f.Add([]byte(`{"items":[{"index":{"status":500,"error":"text"}}]`), 1)
	f.Add([]byte(`{"items":[]}`), 0)
	f.Fuzz(func(t *testing.T, data []byte, n int) {
		n = int(uint(n) % 10)
		items, err := decodeBulk(strings.NewReader(string(data)), n)
		if err != nil {
			return
		}
		if len(items) != n {
			t.Fatalf("%d results for %d documents", len(items), n)
		}
		for _, it := range items {
			if e := it.verdict(OpIndex); e != nil && (e.Err == nil || e.Code == "") {
				t.Fatalf("verdict without a reason: %+v", e)
			}
		}
	})
}
