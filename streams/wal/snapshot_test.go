package wal

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/streams"
)

// TestSnapshotShardAsJSON compares the lines of shards, which are written by
// hand, with what encoding/json makes of the same fields.
func TestSnapshotShardAsJSON(t *testing.T) {
	parent, adjacent := uint32(0), uint32(7)
	hole := snapHole{From: 3, To: 9, File: "a \"b\"\n<c>", Begin: 128, End: 4096, Reason: "ü is damaged"}
	e := snapShard{
		ID: 8, Start: snapKey{Hi: 1 << 63, Lo: 5}, End: snapKey(streams.MaxHashKey), Parent: &parent, Adjacent: &adjacent,
		Created: 1, Closed: 2, Oldest: 3, Next: 1<<64 - 1, Last: 4, Base: 5, Bytes: 6,
		Damage: []snapHole{hole, {File: "f"}}, Refuse: &hole, Suspect: &hole,
	}
	v := reflect.ValueOf(&e).Elem()
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("field %s has no value here", v.Type().Field(i).Name)
		}
	}
	for i := -1; i < v.NumField(); i++ {
		one := e
		name := "none"
		if i >= 0 { // without this one
			reflect.ValueOf(&one).Elem().Field(i).SetZero()
			name = v.Type().Field(i).Name
		}
		got, err := one.append(nil)
		must(t, err)
		want, err := json.Marshal(&one)
		must(t, err)
		if string(got) != string(want) {
			t.Errorf("without %s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestSnapshotKey(t *testing.T) {
	for _, tt := range []struct {
		text string
		ok   bool
	}{
		{"00000000000000000000000000000000", true},
		{"ffffffffffffffffffffffffffffffff", true},
		{"0123456789abcdef0011223344556677", true},
		{"", false},
		{"0123456789abcdef001122334455667", false},
		{"0123456789abcdef00112233445566778", false},
		{"0123456789abcdef0011223344556677aa", false},
		{"0123456789abcdeg0011223344556677", false},
		{strings.Repeat("0", 64), false},
	} {
		var k snapKey
		err := k.UnmarshalText([]byte(tt.text))
		if (err == nil) != tt.ok {
			t.Errorf("%q: %v", tt.text, err)
		}
		if b, _ := k.MarshalText(); tt.ok && string(b) != tt.text {
			t.Errorf("%q became %q", tt.text, b)
		}
	}
}
