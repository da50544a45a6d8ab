package aggregate

import "errors"

// The message, in the words of protocol buffers version 2:
//
//	message AggregatedRecord {
//	  repeated string partition_key_table     = 1;
//	  repeated string explicit_hash_key_table = 2;
//	  repeated Record records                 = 3;
//	}
//	message Record {
//	  required uint64 partition_key_index     = 1;
//	  optional uint64 explicit_hash_key_index = 2;
//	  required bytes  data                    = 3;
//	  repeated Tag    tags                    = 4;
//	}
//	message Tag {
//	  required string key   = 1;
//	  optional string value = 2;
//	}
const (
	tagKeys     = 1<<3 | wireBytes
	tagExplicit = 2<<3 | wireBytes
	tagRecords  = 3<<3 | wireBytes

	tagKeyIndex      = 1<<3 | wireVarint
	tagExplicitIndex = 2<<3 | wireVarint
	tagData          = 3<<3 | wireBytes
	tagTags          = 4<<3 | wireBytes

	tagTagKey = 1<<3 | wireBytes
)

// Wire types of protocol buffers.
const (
	wireVarint     = 0
	wireFixed64    = 1
	wireBytes      = 2
	wireStartGroup = 3
	wireEndGroup   = 4
	wireFixed32    = 5
)

// maxGroups is how deep groups may nest in a field nobody knows; as deep as the
// library of protocol buffers allows.
const maxGroups = 100

var (
	errCutOff    = errors.New("message is cut off")
	errMalformed = errors.New("message is malformed")
)

// field is one field of a message. tag 0 is no field.
type field struct {
	tag    uint64
	number uint64 // of a varint
	data   []byte // of bytes
}

// next reads the first field of b and returns what is behind it. At the end it
// returns a field with tag 0.
func next(b []byte) (f field, rest []byte, err error) {
	if len(b) == 0 {
		return field{}, nil, nil
	}
	if f.tag, b, err = varint(b); err != nil {
		return field{}, nil, err
	}
	if f.tag>>3 == 0 || f.tag>>32 != 0 {
		return field{}, nil, errMalformed
	}
	switch f.tag & 7 {
	case wireVarint:
		f.number, b, err = varint(b)
	case wireFixed64:
		b, err = skip(b, 8)
	case wireFixed32:
		b, err = skip(b, 4)
	case wireBytes:
		var n uint64
		if n, b, err = varint(b); err != nil {
			break
		}
		if n > uint64(len(b)) {
			err = errCutOff
			break
		}
		f.data, b = b[:n:n], b[n:]
	case wireStartGroup:
		b, err = skipGroup(b, f.tag>>3)
	default: // the end of a group that did not begin, or a type that does not exist
		err = errMalformed
	}
	if err != nil {
		return field{}, nil, err
	}
	return f, b, nil
}

func skip(b []byte, n int) ([]byte, error) {
	if len(b) < n {
		return nil, errCutOff
	}
	return b[n:], nil
}

// skipGroup passes the fields of a group and its end.
func skipGroup(b []byte, number uint64) ([]byte, error) {
	open := [maxGroups]uint64{number}
	for depth := 1; depth > 0; {
		if len(b) == 0 {
			return nil, errCutOff
		}
		tag, rest, err := varint(b)
		if err != nil {
			return nil, err
		}
		switch tag & 7 {
		case wireStartGroup:
			if depth == maxGroups || tag>>3 == 0 || tag>>32 != 0 {
				return nil, errMalformed
			}
			open[depth] = tag >> 3
			depth++
			b = rest
		case wireEndGroup:
			depth--
			if tag>>3 != open[depth] {
				return nil, errMalformed
			}
			b = rest
		default:
			if _, b, err = next(b); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// varint reads a number of at most 64 bits; bits beyond are dropped, as the
// library of protocol buffers does.
func varint(b []byte) (v uint64, rest []byte, err error) {
	for i, c := range b {
		if i == 10 {
			return 0, nil, errMalformed
		}
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			return v, b[i+1:], nil
		}
	}
	if len(b) >= 10 {
		return 0, nil, errMalformed
	}
	return 0, nil, errCutOff
}

// userRecord is a Record of the message. Of a field that is there twice the
// last one counts.
type userRecord struct {
	key, explicit uint64
	hasExplicit   bool
	data          []byte
}

func readRecord(b []byte) (userRecord, error) {
	var u userRecord
	hasKey, hasData := false, false
	f, rest, err := next(b)
	for ; err == nil && f.tag != 0; f, rest, err = next(rest) {
		switch f.tag {
		case tagKeyIndex:
			u.key, hasKey = f.number, true
		case tagExplicitIndex:
			u.explicit, u.hasExplicit = f.number, true
		case tagData:
			u.data, hasData = f.data, true
		case tagTags:
			if err := checkTag(f.data); err != nil {
				return userRecord{}, err
			}
		}
	}
	if err == nil && (!hasKey || !hasData) {
		err = errRequired
	}
	return u, err
}

// checkTag makes sure that a Tag is sound. Nobody reads tags.
func checkTag(b []byte) error {
	hasKey := false
	f, rest, err := next(b)
	for ; err == nil && f.tag != 0; f, rest, err = next(rest) {
		hasKey = hasKey || f.tag == tagTagKey
	}
	if err == nil && !hasKey {
		err = errRequired
	}
	return err
}
