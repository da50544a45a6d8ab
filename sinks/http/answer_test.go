package http

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"
)

func header(body []byte) http.Header {
	return http.Header{"Content-Type": {"application/json; charset=utf-8"}, "Content-Length": {strconv.Itoa(len(body))}}
}

func TestCheckAnswer(t *testing.T) {
	for _, tt := range []struct {
		body string
		ok   bool
	}{
		{`{"requestId":"id","timestamp":1}`, true},
		{` {"timestamp":1578090903599,"requestId":"id","errorMessage":"none"} `, true},
		{`{"requestId":"id","timestamp":1.5e3}`, true},
		{`{"requestId":"id","timestamp":"1"}`, false},
		{`{"requestId":"id","timestamp":null}`, false},
		{`{"requestId":"id"}`, false},
		{`{"timestamp":1}`, false},
		{`{"requestId":"other","timestamp":1}`, false},
		{`{"requestId":"id","timestamp":1,"status":"ok"}`, false},
		{`{"requestId":"id","timestamp":1,"errorMessage":7}`, false},
		{`{"requestId":"id","timestamp":1}{}`, false},
		{`[]`, false},
		{`null`, false},
		{``, false},
		{`OK`, false},
	} {
		if err := checkAnswer(header([]byte(tt.body)), []byte(tt.body), "id"); (err == nil) != tt.ok {
			t.Errorf("%s: got %v", tt.body, err)
		}
	}
}

// FuzzCheckAnswer: what is taken for success says so in the words of the
// contract.
func FuzzCheckAnswer(f *testing.F) {
	f.Add([]byte(`{"requestId":"id","timestamp":1}`))
	f.Add([]byte(`{"requestId":"id","timestamp":1,"errorMessage":"x"}`))
	f.Add([]byte(`{"requestid":"id","TIMESTAMP":-0}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		_ = message(body)
		if checkAnswer(header(body), body, "id") != nil {
			return
		}
		var doc map[string]any
		if err := json.Unmarshal(body, &doc); err != nil || len(doc) < 2 {
			t.Fatalf("%q was taken: %v", body, err)
		}
	})
}
