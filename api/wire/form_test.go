package wire

import (
	"bytes"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// shopInput has a member of every kind.
func shopInput() *Shape {
	return Structure(
		Optional("Name", String()), Optional("Count", Integer()), Optional("Size", Long()), Optional("Ratio", Double()),
		Optional("On", Boolean()), Optional("At", Timestamp()), Optional("Data", Blob()),
		Optional("Words", List(String())),
		Optional("Parts", List(Structure(Optional("Name", String()), Optional("Sizes", List(Integer()))))),
		Optional("Tags", Map(String(), String())),
		Optional("Inner", Structure(Optional("Name", String()))),
	)
}

func buildForm(body string, s *Shape) (string, *Error) {
	var f form
	if err := f.read([]byte(body)); err != nil {
		return "", serialization(err.Error())
	}
	var d document
	if err := f.build(&d, s); err != nil {
		return "", err
	}
	return string(Value{&d, 0}.AppendJSON(nil)), nil
}

func TestForm(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"nothing", "", `{}`},
		{"unknown members", "Action=Echo&Version=1&X-Amz-Date=x&Other.member.1.Name=y", `{}`},
		{
			"scalars", "Name=a%20b+c%26&Count=-7&Size=9223372036854775807&Ratio=1.5e3&On=true&Data=aGk%3D",
			`{"Count":-7,"Data":"aGk=","Name":"a b c&","On":true,"Ratio":1500,"Size":9223372036854775807}`,
		},
		{"UTF-8", "Name=%E6%97%A5", `{"Name":"日"}`},
		{"empty text", "Name=", `{"Name":""}`},
		{"name without a value", "Name", `{"Name":""}`},
		{"empty parts", "&&Name=a&", `{"Name":"a"}`},
		{"time", "At=2026-11-23T06%3A58%3A02.480Z", `{"At":1795417082.48}`},
		{"time with a zone", "At=2026-11-23T08%3A58%3A02%2B02%3A00", `{"At":1795417082}`},
		{"time without a zone", "At=2026-11-23T06:58:02", `{"At":1795417082}`},
		{"basic time", "At=20261123T065802Z", `{"At":1795417082}`},
		{"time in seconds", "At=1795417082.48", `{"At":1795417082.48}`},
		{"list", "Words.member.1=a&Words.member.2=b", `{"Words":["a","b"]}`},
		{"list in another order", "Words.member.10=c&Words.member.2=b&Words.member.1=a", `{"Words":["a","b","c"]}`},
		{"empty list", "Words=", `{"Words":[]}`},
		{"empty structure", "Inner=", `{"Inner":{}}`},
		{"empty map", "Tags=", `{"Tags":{}}`},
		{
			"structures", "Parts.member.1.Name=x&Parts.member.1.Sizes.member.1=1&Parts.member.1.Sizes.member.2=2&Parts.member.2.Name=y&Inner.Name=z",
			`{"Inner":{"Name":"z"},"Parts":[{"Name":"x","Sizes":[1,2]},{"Name":"y"}]}`,
		},
		{"map", "Tags.entry.1.key=k&Tags.entry.1.value=v&Tags.entry.2.value=&Tags.entry.2.key=l", `{"Tags":{"k":"v","l":""}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := buildForm(tt.body, shopInput())
			if err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
}

func TestFormRefused(t *testing.T) {
	for _, tt := range []struct{ name, body, want string }{
		{"percent cut off", "Name=%4", "value of a parameter malformed at byte 0"},
		{"percent of no number", "Na%zzme=x", "name of a parameter malformed at byte 0"},
		{"no UTF-8", "Count=1&Name=%ff", "value of a parameter malformed at byte 8"},
		{"long name", strings.Repeat("a", 1025) + "=1", string(errLongName)},
		{"too many", strings.Repeat("a&", MaxValues+1), string(errTooMany)},
		{"too many values", manyItems(MaxValues), string(errTooMany)},
		{"integer", "Count=x", "The parameter Count must be a whole number."},
		{"integer too large", "Count=2147483648", "The parameter Count must be a whole number."},
		{"double", "Ratio=0x1p3", "The parameter Ratio must be a number."},
		{"boolean", "On=TRUE", "The parameter On must be true or false."},
		{"time", "At=yesterday", "timestamp must follow ISO8601"},
		{"blob", "Data=*", "'*' can not be converted to a Blob"},
		{"twice", "Name=a&Name=b", "The parameter Name is there twice."},
		{"twice in a list", "Words.member.1=a&Words.member.1=b", "The parameter Words.member.1 is there twice."},
		{"inside of a text", "Name.member.1=a", "The parameter Name.member.1 is inside of a value."},
		{"text and inside", "Name=a&Name.x=a", "The parameter Name.x is inside of a value."},
		{"list with a value", "Words=a", "The parameter Words is a structure, list or map and has a value."},
		{"empty list with items", "Words=&Words.member.1=a", "The parameter Words is a structure, list or map and has a value."},
		{"list without numbers", "Words.member.a=a", "The parameter Words.member.a has no number from 1 in its place."},
		{"item 0", "Words.member.0=a", "The parameter Words.member.0 has no number from 1 in its place."},
		{"item 01", "Words.member.01=a", "The parameter Words.member.01 has no number from 1 in its place."},
		{"item of no number", "Words.member=a", "The parameter Words.member is not the member of a list or map."},
		{"flattened list", "Words.1=a", "The parameter Words.1 is not the member of a list or map."},
		{"map without a value", "Tags.entry.1.key=k", "The parameter Tags.entry.1.key is an entry of a map without one key and one value."},
		{"map without a key", "Tags.entry.1.value=k&Tags.entry.1.z=k", "The parameter Tags.entry.1.value is an entry of a map without one key and one value."},
		{"map with more", "Tags.entry.1.key=k&Tags.entry.1.value=k&Tags.entry.1.z=k", "The parameter Tags.entry.1.key is an entry of a map without one key and one value."},
		{"same key twice", "Tags.entry.1.key=k&Tags.entry.1.value=k&Tags.entry.2.key=k&Tags.entry.2.value=k", string(errTwice)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := buildForm(tt.body, shopInput())
			if err == nil || err.Code != CodeSerialization || !strings.HasPrefix(err.Message, tt.want) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func manyItems(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("Words.member.")
		b.WriteString(string(appendSeconds(nil, int64(i+2)*1000)))
		b.WriteString("=&")
	}
	return b.String()[:b.Len()-1]
}

// FuzzForm decodes arbitrary parameters: what is taken is a sound document and
// agrees with net/url on plain texts.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{
		"", "Name=a%20b", "Words.member.1=a&Words.member.10=b&Words.member.2=c", "Tags.entry.1.key=a&Tags.entry.1.value=b",
		"Parts.member.1.Sizes.member.3=5&Parts.member.1.Name=&Inner=", "At=2026-11-23T06:58:02Z&Data=aGk=&Ratio=NaN&On=false", "Name=%", "a=b=c&&=",
	} {
		f.Add([]byte(seed))
	}
	shape := shopInput()
	f.Fuzz(func(t *testing.T, body []byte) {
		sent := bytes.Clone(body)
		var p form
		if p.read(body) != nil {
			return
		}
		if !bytes.Equal(body, sent) {
			t.Fatal("reading changed the body")
		}
		name, once := string(p.get("Name")), 0
		for _, field := range p.fields {
			if string(p.name(field)) == "Name" {
				once++
			}
		}
		var d document
		if p.build(&d, shape) != nil {
			return
		}
		if got := d.nodes[0].next; int(got) != len(d.nodes) {
			t.Fatalf("root ends at %d of %d nodes", got, len(d.nodes))
		}
		v := Value{&d, 0}
		if once == 1 && v.Get("Name").Text() != name {
			t.Fatalf("Name %q, want %q", v.Get("Name").Text(), name)
		}
		if !json.Valid(v.AppendJSON(nil)) {
			t.Fatalf("%q becomes %s", body, v.AppendJSON(nil))
		}
		if values, err := url.ParseQuery(string(body)); err == nil && once == 1 && values.Get("Name") != name {
			t.Fatalf("Name %q, net/url has %q", name, values.Get("Name"))
		}
		_, _ = d.check(shape, false)
	})
}

func TestCompareNames(t *testing.T) {
	want := []string{"A", "A.1", "A.2", "A.10", "A.2x", "A.member", "A.member.1", "B"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, func(a, b string) int { return compareNames([]byte(a), []byte(b)) })
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
