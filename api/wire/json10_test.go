package wire_test

import (
	"context"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/api/wire"
)

// keeperService speaks JSON 1.0 and reads a value of any kind itself.
func keeperService() wire.Service {
	describe := func(_ context.Context, r *wire.Request, out *wire.Encoder) error {
		v := r.Input.Get("Any")
		if v.Kind() == wire.Null || v.Kind() == wire.Absent {
			return &wire.Error{Code: "NothingException", Message: "Nothing.", More: func(out *wire.Encoder) {
				out.IntMember("Count", 2)
			}}
		}
		out.BeginObject()
		out.IntMember("Kind", int64(v.Kind()))
		for key, item := range v.Pairs() {
			out.StringMember(key, item.Text())
		}
		out.EndObject()
		return nil
	}
	return wire.Service{
		Target: "Keeper_1", SigningName: "keeper", JSON10: true, Checksum: true,
		ErrorType: func(code string) string { return "org.example#" + code },
		Operations: []wire.Operation{{Name: "Describe", Handle: describe, Input: wire.Structure(
			wire.Optional("Any", wire.Any()), wire.Optional("Size", wire.Integer().AtLeast(1)),
		)}},
	}
}

func TestJSON10(t *testing.T) {
	const media = "application/x-amz-json-1.0"
	long := strings.Repeat("0123456789", 10)
	for _, tt := range []struct {
		name, target, media, body string
		status                    int
		wantMedia, want           string
	}{
		{"object", "Keeper_1.Describe", media, `{"Any":{"\u0061":"\u0062","long":"` + long + `\n"}}`, 200, media, `{"Kind":7,"a":"b","long":"` + long + `\n"}`},
		{"text", "Keeper_1.Describe", media, `{"Any":"x"}`, 200, media, `{"Kind":4}`},
		{"number", "Keeper_1.Describe", media, `{"Any":1.5}`, 200, media, `{"Kind":3}`},
		{"boolean", "Keeper_1.Describe", media, `{"Any":true}`, 200, media, `{"Kind":2}`},
		{"list", "Keeper_1.Describe", media, `{"Any":[[{"a":"b"}]]}`, 200, media, `{"Kind":6}`},
		{"more in an error", "Keeper_1.Describe", media, `{"Any":null}`, 400, media, `{"__type":"org.example#NothingException","message":"Nothing.","Count":2}`},
		{"constraint", "Keeper_1.Describe", media, `{"Size":0}`, 400, media, `{"__type":"org.example#ValidationException","message":"1 validation error detected: Value '0' at 'size' failed to satisfy constraint: Member must have value greater than or equal to 1"}`},
		{"bad text in any", "Keeper_1.Describe", media, `{"Any":"` + long + "\x01" + `"}`, 400, media, `{"__type":"org.example#SerializationException","Message":"control character in string at byte 108"}`},
		{"no body", "Keeper_1.Describe", media, ``, 400, media, `{"__type":"org.example#SerializationException"}`},
		{"operation that is not there", "Keeper_1.Nothing", media, `{}`, 400, media, `{"__type":"org.example#UnknownOperationException"}`},
		{"version 1.1", "Keeper_1.Describe", jsonType, `{}`, 404, "", "<UnknownOperationException/>\n"},
		{"CBOR", "Keeper_1.Describe", cborType, "\xa0", 404, "", "<UnknownOperationException/>\n"},
		{"version 1.0 of another service", "Test_1.Echo", media, `{}`, 404, "", "<UnknownOperationException/>\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHandler(t, wire.Options{Services: []wire.Service{echoService(nil, nil), keeperService()}})
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(tt.body))
			r.Header.Set("X-Amz-Target", tt.target)
			r.Header.Set("Content-Type", tt.media)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != tt.status || w.Body.String() != tt.want || w.Header().Get("Content-Type") != tt.wantMedia {
				t.Errorf("got %d %q %s, want %d %q %s", w.Code, w.Header().Get("Content-Type"), w.Body, tt.status, tt.wantMedia, tt.want)
			}
			sum := map[string][]string(w.Header())["x-amz-crc32"] // as it goes over the wire
			if want := strconv.FormatUint(uint64(crc32.ChecksumIEEE(w.Body.Bytes())), 10); strings.HasPrefix(tt.target, "Keeper") != (len(sum) == 1 && sum[0] == want) {
				t.Errorf("x-amz-crc32 is %q, the body has %s", sum, want)
			}
		})
	}
}
