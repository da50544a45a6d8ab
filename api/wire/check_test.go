package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"
)

// everything has a member of every kind.
func everything() *Shape {
	return Structure(
		Optional("S", String().Between(1, 5).Match(Regexp(`[a-z]+`))),
		Optional("E", Enum("ONE", "TWO")),
		Optional("I", Integer().Between(1, 10)),
		Optional("L", Long().AtLeast(-5)),
		Optional("D", Double().Between(0, 1)),
		Optional("B", Boolean()),
		Optional("Blob", Blob().Between(1, 4)),
		Optional("T", Timestamp()),
		Optional("Names", List(String().Between(1, 3)).Between(1, 2)),
		Optional("Things", List(Structure(Required("Name", String().AtLeast(1)))).Between(1, 2)),
		Optional("Tags", Map(String().Between(1, 4), String().Between(0, 4)).AtMost(2)),
		Optional("Sub", Structure(Required("Inner", Integer()))),
	)
}

func TestChecks(t *testing.T) {
	one := "ValidationException: 1 validation error detected: Value "
	for _, tt := range []struct{ in, want string }{
		{`{"S":"abc","E":"TWO","I":10,"L":-5,"D":0.5,"B":true,"Blob":"QUI=","T":1.5,"Names":["a"],"Things":[{"Name":"x"}],"Tags":{"k":"v"},"Sub":{"Inner":1},"New":[{}]}`, ""},
		{`{"S":null,"Sub":null,"Names":null,"Tags":null,"Blob":null,"T":null}`, ""},

		// Types.
		{`{"S":1}`, "SerializationException: class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an String"},
		{`{"S":true}`, "SerializationException: class java.lang.Boolean can not be converted to an String"},
		{`{"S":[]}`, "SerializationException: Start of list found where not expected"},
		{`{"S":{}}`, "SerializationException: Start of structure or map found where not expected."},
		{`{"I":"1"}`, "SerializationException: class java.lang.String can not be converted to an Integer"},
		{`{"I":false}`, "SerializationException: class java.lang.Boolean can not be converted to an Integer"},
		{`{"L":"1"}`, "SerializationException: class java.lang.String can not be converted to an Long"},
		{`{"D":"1"}`, "SerializationException: class java.lang.String can not be converted to an Double"},
		{`{"B":"true"}`, "SerializationException: class java.lang.String can not be converted to an Boolean"},
		{`{"B":1}`, "SerializationException: class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an Boolean"},
		{`{"T":"now"}`, "SerializationException: class java.lang.String can not be converted to milliseconds since epoch"},
		{`{"T":true}`, "SerializationException: class java.lang.Boolean can not be converted to milliseconds since epoch"},
		{`{"Blob":1}`, "SerializationException: class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to a Blob"},
		{`{"Blob":"abcde"}`, "SerializationException: 'abcde' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5"},
		{`{"Blob":"a\/?b"}`, "SerializationException: 'a/?b' can not be converted to a Blob: Invalid Base64 character: '?'"},
		{`{"Names":"a"}`, "SerializationException: Expected list or null"},
		{`{"Names":{}}`, "SerializationException: Start of structure or map found where not expected."},
		{`{"Names":[1]}`, "SerializationException: class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an String"},
		{`{"Tags":1}`, "SerializationException: Expected map or null"},
		{`{"Tags":[]}`, "SerializationException: Start of list found where not expected"},
		{`{"Tags":{"a":1}}`, "SerializationException: class com.amazon.coral.value.json.numbers.TruncatingBigNumber can not be converted to an String"},
		{`{"Sub":"x"}`, "SerializationException: Expected null"},
		{`{"Sub":[]}`, "SerializationException: Start of list found where not expected"},
		{`{"Things":["x"]}`, "SerializationException: Expected null"},

		// Constraints.
		{`{"S":"ABC"}`, one + `'ABC' at 's' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+`},
		{`{"S":""}`, `ValidationException: 2 validation errors detected: Value '' at 's' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]+; ` +
			`Value '' at 's' failed to satisfy constraint: Member must have length greater than or equal to 1`},
		{`{"S":"abcdef"}`, one + `'abcdef' at 's' failed to satisfy constraint: Member must have length less than or equal to 5`},
		{`{"E":"three"}`, one + `'three' at 'e' failed to satisfy constraint: Member must satisfy enum value set: [ONE, TWO]`},
		{`{"I":0}`, one + `'0' at 'i' failed to satisfy constraint: Member must have value greater than or equal to 1`},
		{`{"I":11}`, one + `'11' at 'i' failed to satisfy constraint: Member must have value less than or equal to 10`},
		{`{"I":1e99}`, one + `'2147483647' at 'i' failed to satisfy constraint: Member must have value less than or equal to 10`},
		{`{"I":10.9}`, ""},
		{`{"L":-6}`, one + `'-6' at 'l' failed to satisfy constraint: Member must have value greater than or equal to -5`},
		{`{"D":1.5}`, one + `'1.5' at 'd' failed to satisfy constraint: Member must have value less than or equal to 1`},
		{`{"Blob":""}`, one + `at 'blob' failed to satisfy constraint: Member must have length greater than or equal to 1`},
		{`{"Blob":"QUJDREU="}`, one + `at 'blob' failed to satisfy constraint: Member must have length less than or equal to 4`},
		{`{"Names":[]}`, one + `'[]' at 'names' failed to satisfy constraint: Member must have length greater than or equal to 1`},
		{`{"Names":["a","b","c"]}`, one + `at 'names' failed to satisfy constraint: Member must have length less than or equal to 2`},
		{`{"Names":["a","long"]}`, one + `'[a, long]' at 'names' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 3, Member must have length greater than or equal to 1]`},
		{`{"Names":[null]}`, one + `'[]' at 'names' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 3, Member must have length greater than or equal to 1]`},
		{`{"Things":[{}]}`, one + `null at 'things.1.member.name' failed to satisfy constraint: Member must not be null`},
		{`{"Things":[{"Name":"x"},{"Name":""}]}`, one + `'' at 'things.2.member.name' failed to satisfy constraint: Member must have length greater than or equal to 1`},
		{`{"Things":[null]}`, one + `null at 'things.1.member' failed to satisfy constraint: Member must not be null`},
		{`{"Tags":{"":"3"}}`, one + `'{=3}' at 'tags' failed to satisfy constraint: Map keys must satisfy constraint: [Member must have length less than or equal to 4, Member must have length greater than or equal to 1]`},
		{`{"Tags":{"a":"12345"}}`, one + `'{a=12345}' at 'tags' failed to satisfy constraint: Map value must satisfy constraint: [Member must have length less than or equal to 4, Member must have length greater than or equal to 0]`},
		{`{"Tags":{"a":"","b":"","c":""}}`, one + `at 'tags' failed to satisfy constraint: Member must have length less than or equal to 2`},
		{`{"Sub":{}}`, one + `null at 'sub.inner' failed to satisfy constraint: Member must not be null`},
	} {
		var d document
		got := ""
		if err := d.parseJSON([]byte(tt.in)); err != nil {
			t.Fatal(err)
		}
		if err := d.convert(0, everything(), JSON); err != nil {
			got = err.Error()
		} else if _, err := d.check(everything(), false); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.in, got, tt.want)
		}
	}
}

func TestTenMessagesAtMost(t *testing.T) {
	var d document
	if err := d.parseJSON([]byte(`{"Things":[` + strings.Repeat(`{},`, 19) + `{}]}`)); err != nil {
		t.Fatal(err)
	}
	s := Structure(Required("Things", List(Structure(Required("A", String()))).AtMost(20)))
	if err := d.convert(0, s, JSON); err != nil {
		t.Fatal(err)
	}
	_, err := d.check(s, false)
	if err == nil || !strings.HasPrefix(err.Message, "10 validation errors detected: ") || strings.Count(err.Message, "Value null") != 10 {
		t.Errorf("got %v", err)
	}
}

func TestConditionalMembers(t *testing.T) {
	s := Structure(
		Required("A", String()),
		Required("Items", List(Structure(Conditional("B", String().AtLeast(1))))),
		Conditional("C", String()),
	)
	const null = "null at '%s' failed to satisfy constraint: Member must not be null"
	for _, tt := range []struct {
		in, want, complete string // missing members, or one more message
	}{
		{`{"A":"","Items":[{"B":"x"}],"C":""}`, "", ""},
		{`{"A":"","Items":[{"B":"x"}],"C":null}`, "", "c"},
		{`{"A":"","Items":[{},{"B":"x"},{}]}`, "", "items.1.member.b items.3.member.b c"},
		{`{"Items":[{}]}`, "a items.1.member.b c", ""},
		{`{"A":"","Items":[` + strings.Repeat(`{},`, 11) + `{"B":""}]}`, "items.1.member.b items.2.member.b items.3.member.b items.4.member.b items.5.member.b items.6.member.b items.7.member.b items.8.member.b items.9.member.b items.10.member.b", ""},
	} {
		text := func(paths string) string {
			var messages []string
			for p := range strings.FieldsSeq(paths) {
				messages = append(messages, "Value "+fmt.Sprintf(null, p))
			}
			switch len(messages) {
			case 0:
				return ""
			case 1:
				return "1 validation error detected: " + messages[0]
			}
			return fmt.Sprintf("%d validation errors detected: %s", len(messages), strings.Join(messages, "; "))
		}
		var d document
		if err := d.parseJSON([]byte(tt.in)); err != nil {
			t.Fatal(err)
		}
		if err := d.convert(0, s, JSON); err != nil {
			t.Fatal(err)
		}
		waived, err := d.check(s, false)
		got := ""
		if err != nil {
			got = err.Message
		}
		if got != text(tt.want) || waived != (tt.complete != "") {
			t.Errorf("%s: got %v %s", tt.in, waived, got)
		}
		if waived {
			if got := d.checkComplete(s, false).Message; got != text(tt.complete) {
				t.Errorf("%s, complete: got %s", tt.in, got)
			}
		}
	}
}

func TestHiddenValues(t *testing.T) {
	var d document
	if err := d.parseJSON([]byte(`{"E":"gzip"}`)); err != nil {
		t.Fatal(err)
	}
	if err := d.fit(everything(), JSON); err != nil {
		t.Fatal(err)
	}
	_, err := d.check(everything(), true)
	want := "1 validation error detected: Value at 'e' failed to satisfy constraint: Member must satisfy enum value set: [ONE, TWO]"
	if err == nil || err.Message != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestTimesAreRoundedNotCut(t *testing.T) {
	s := Structure(Optional("T", Timestamp()))
	for _, tt := range []struct {
		format Format
		in     string
		want   int64
	}{
		{JSON, `{"T":1459799926.480}`, 1459799926480},
		{JSON, `{"T":1459799926.4799999}`, 1459799926480},
		{JSON, `{"T":1.459799926480E9}`, 1459799926480},
		{JSON, `{"T":0}`, 0},
		{JSON, `{"T":-1.5}`, -1500},
		{JSON, `{"T":1e300}`, maxMillis},
		{JSON, `{"T":99999999999999999}`, maxMillis / 1000 * 1000},
		{CBOR, "a16154c11b0000015dcafe0000", 0x15dcafe0000},       // tag 1, whole milliseconds
		{CBOR, "a161541b0000015dcafe0000", 0x15dcafe0000},         // no tag
		{CBOR, "a16154c1fb41d5c09cfdb851ec", 1459778550_880},      // a float is in seconds
		{CBOR, "a16154c1fb7ff0000000000000", maxMillis},           // infinity
		{CBOR, "a16154c13b7fffffffffffffff", minMillis},           // far past
		{CBOR, "a16154fb7ff8000000000000", 0},                     // not a number
		{CBOR, "a16154f97e00", 0},                                 // the same, half
		{CBOR, "a16154c11bffffffffffffffff", maxMillis},           // beyond int64
		{CBOR, "a16154c1c11b0000015dcafe0000", 0x15dcafe0000},     // tag twice
		{CBOR, "a16154d9d9f7c11b0000015dcafe0000", 0x15dcafe0000}, // self-described
	} {
		var d document
		var err error
		if tt.format == CBOR {
			src, hexErr := hex.DecodeString(tt.in)
			if hexErr != nil {
				t.Fatal(hexErr)
			}
			err = d.parseCBOR(src)
		} else {
			err = d.parseJSON([]byte(tt.in))
		}
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		if err := d.convert(0, s, tt.format); err != nil {
			t.Fatal(err)
		}
		if got := (Value{&d, 0}).Get("T").Millis(); got != tt.want {
			t.Errorf("%s: got %d (%s), want %d", tt.in, got, time.UnixMilli(got).UTC(), tt.want)
		}
	}
}

// An item that was written again is an item of its list like any other.
func TestEncoderAgain(t *testing.T) {
	for _, format := range []Format{JSON, CBOR} {
		write := func(again bool) []byte {
			e := NewEncoder(format, nil)
			e.BeginList()
			e.Int(1)
			from, to := 0, 0
			for i := range 3 {
				if again && i > 0 {
					b := e.Again(from, to)
					b[bytes.IndexByte(b, '#')+1]++
					from, to = len(e.Output())-len(b), len(e.Output())
					continue
				}
				e.BeginObject()
				from = len(e.Output()) - 1
				e.StringMember("text", "#"+string(rune('0'+i)))
				e.EndObject()
				to = len(e.Output())
			}
			e.Int(2)
			e.EndList()
			return e.Output()
		}
		if got, want := write(true), write(false); !bytes.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", format.ContentType(), got, want)
		}
	}
}

// Members finds in objects that are alike, and in those that are not, what Get
// finds.
func TestMembers(t *testing.T) {
	shape := Structure(Required("List", List(Structure(Optional("A", String()), Optional("B", Integer()), Optional("C", Blob())))))
	names := []string{"A", "B", "C"}
	v, err := Decode([]byte(`{"List":[{"A":"1","C":"QQ=="},{"A":"2","C":"QUI="},{"A":"3","C":"QUJD","D":{}},{"A":"4","C":"QUJD","D":[]},
		{"D":5,"C":null,"B":1,"A":"x"},{"\u0041":"6","B":2},{"\u0041":"7","B":3},{"A":"8"},{},{"D":1},{"D":1,"B":4}]}`), shape)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for item := range v.Get("List").Items() {
		members := []Value{v, v, v}
		item.Members(members)
		for i, name := range names {
			if got, want := members[i], item.Get(name); got != want {
				t.Errorf("item %d: %s is node %d, want %d", n, name, got.i, want.i)
			}
		}
		n++
	}
	if n != 11 {
		t.Errorf("got %d items", n)
	}
	members := []Value{v}
	if v.Get("List").Members(members); members[0].Present() {
		t.Error("a list has members")
	}
}

func TestEncoder(t *testing.T) {
	write := func(format Format) string {
		e := NewEncoder(format, nil)
		e.BeginObject()
		e.StringMember("S", "a\"\\\n\x01é\xff")
		e.IntMember("I", -300)
		e.BoolMember("B", true)
		e.TimeMember("T", time.UnixMilli(1459799926480))
		e.Key("L")
		e.BeginList()
		e.Blob([]byte{1, 2, 3})
		e.Text(func(b []byte) []byte { return append(b, "x1"...) })
		e.BeginObject()
		e.EndObject()
		e.EndList()
		e.TimeMember("W", time.Unix(7, 0))
		e.EndObject()
		return string(e.Output())
	}
	if got, want := write(JSON), `{"S":"a\"\\\n\u0001é`+"\uFFFD"+`","I":-300,"B":true,"T":1459799926.48,"L":["AQID","x1",{}],"W":7}`; got != want {
		t.Errorf("JSON:\ngot  %s\nwant %s", got, want)
	}
	const want = "bf" + "6153" + "6a61225c0a01c3a9efbfbd" + "6149" + "39012b" + "6142" + "f5" + "6154" + "c11b00000153e2db26d0" +
		"614c" + "9f" + "43010203" + "78027831" + "bf" + "ff" + "ff" + "6157" + "c1191b58" + "ff"
	if got := hex.EncodeToString([]byte(write(CBOR))); got != want {
		t.Errorf("CBOR:\ngot  %s\nwant %s", got, want)
	}
	for _, ms := range []struct {
		in   int64
		want string
	}{{0, "0"}, {-1500, "-1.5"}, {1001, "1.001"}, {120, "0.12"}} {
		if got := string(appendSeconds(nil, ms.in)); got != ms.want {
			t.Errorf("%d ms: got %s, want %s", ms.in, got, ms.want)
		}
	}
}
