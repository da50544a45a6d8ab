package wire

import (
	"bytes"
	"fmt"
)

// Limits of what one body may contain, beyond its size in bytes.
const (
	// MaxDepth is how deep lists and objects may nest.
	MaxDepth = 32
	// MaxValues is how many values (members, items, keys) one body may have; a
	// full PutRecords has about 4,000.
	MaxValues = 1 << 16
)

// Format is the encoding of a request and of the response to it.
type Format uint8

// The formats.
const (
	JSON   Format = iota // application/x-amz-json-1.1
	CBOR                 // application/x-amz-cbor-1.1
	JSON10               // application/x-amz-json-1.0

	rpc   // application/cbor, smithy-rpc-v2-cbor: as CBOR, but times are in seconds
	query // awsQuery: parameters in, and out what becomes XML
)

// ContentType returns the media type of a format.
func (f Format) ContentType() string {
	switch f {
	case CBOR:
		return "application/x-amz-cbor-1.1"
	case JSON10:
		return "application/x-amz-json-1.0"
	case rpc:
		return cborType
	case query:
		return xmlType
	}
	return "application/x-amz-json-1.1"
}

// binary reports whether bodies of the format are CBOR.
func (f Format) binary() bool { return f == CBOR || f == rpc }

type nodeKind uint8

const (
	nodeNull   nodeKind = iota
	nodeBool            // num is 0 or 1
	nodeInt             // num
	nodeFloat           // num holds the bits of a float64
	nodeString          // bytes [start, end) of the source
	nodeBytes           // bytes [start, end) of the source
	nodeTime            // num is in milliseconds since 1970; only after checking
	nodeList            // count items follow
	nodeObject          // count pairs of a nodeString and a value follow
)

const (
	flagEscaped uint8 = 1 << iota // JSON: the text still has escapes
	flagChunked                   // CBOR: [start, end) is a run of definite strings
	flagTime                      // CBOR: tag 1 stood before the number
	flagLoose                     // JSON: a long text nobody looked into yet; see firm
)

// node is one value of a document. Nodes lie in the order of the source;
// children follow their parent.
//
// The key of an object knows more than its text. num is the place, from 1, of
// the member in the structure the object was converted to, -1 if that has no
// such member, 0 before; count is the node of the same key in an object before
// in the same list, 0 if there is none or nobody saw that it is the same.
type node struct {
	num        int64
	start, end uint32
	next       uint32 // index of the node after this one and its children
	count      uint32
	kind       nodeKind
	flags      uint8
}

// len is the length of a string or blob in the source.
func (n *node) len() int { return int(n.end - n.start) }

// document is a parsed body. Nodes refer to the bytes of the source; no text
// or blob is copied. Parsing leaves the source as it is (its signature is
// checked later); checking decodes escapes, base64 and chunks in place, which
// always shortens them.
type document struct {
	src   []byte
	nodes []node
	loose int         // texts that nobody looked into yet
	chunk base64Chunk // on the way of each blob
}

func (d *document) reset(src []byte) {
	d.src = src
	d.nodes = d.nodes[:0]
	d.loose = 0
}

// syntaxError tells why a body is no document. Its text goes to the client.
type syntaxError struct {
	reason string
	at     int
}

func (e *syntaxError) Error() string { return fmt.Sprintf("%s at byte %d", e.reason, e.at) }

// limitError tells which limit a body is over. Its text goes to the client.
type limitError string

func (e limitError) Error() string { return string(e) }

const (
	errTooDeep  = limitError("The body is nested deeper than 32 levels.")
	errTooMany  = limitError("The body has more than 65536 values.")
	errTwice    = limitError("The body has an object with the same key twice.")
	errTooLarge = limitError("The body is larger than 4 GiB.")
)

// add appends a node and returns its index.
func (d *document) add(n node) (int, error) {
	if len(d.nodes) >= MaxValues {
		return 0, errTooMany
	}
	n.next = uint32(len(d.nodes) + 1)
	d.nodes = append(d.nodes, n)
	return len(d.nodes) - 1, nil
}

// addSpan is add for a node that stands for src[start:end] alone, as most do. It
// writes the members of the node one by one where they belong: a node that was
// put together elsewhere is copied in larger parts than it was written in, for
// which a processor waits.
func (d *document) addSpan(kind nodeKind, flags uint8, start, end int) (int, error) {
	i := len(d.nodes)
	if i >= MaxValues {
		return 0, errTooMany
	}
	if i == cap(d.nodes) {
		d.nodes = append(d.nodes, node{})
	} else {
		d.nodes = d.nodes[:i+1]
	}
	n := &d.nodes[i]
	n.num = 0
	n.start, n.end = uint32(start), uint32(end)
	n.next, n.count = uint32(i+1), 0
	n.kind, n.flags = kind, flags
	return i, nil
}

// text returns the bytes of a string or blob node.
func (d *document) text(i uint32) []byte {
	n := &d.nodes[i]
	return d.src[n.start:n.end]
}

// plain decodes what parsing left encoded in a string or blob, in place.
func (d *document) plain(i uint32) {
	n := &d.nodes[i]
	switch {
	case n.flags&flagEscaped != 0:
		n.end = n.start + uint32(unescapeJSON(d.src[n.start:n.end]))
	case n.flags&flagChunked != 0:
		n.end = n.start + uint32(joinChunks(d.src[n.start:n.end]))
	}
	n.flags &^= flagEscaped | flagChunked
}

// plainCopy returns a string or blob decoded, leaving the source as it is.
func (d *document) plainCopy(i uint32) []byte {
	n := &d.nodes[i]
	raw := d.src[n.start:n.end]
	if n.flags&(flagEscaped|flagChunked) == 0 {
		return raw
	}
	raw = bytes.Clone(raw)
	if n.flags&flagEscaped != 0 {
		return raw[:unescapeJSON(raw)]
	}
	return raw[:joinChunks(raw)]
}

// unique reports errTwice if two keys of the object at i are the same.
func (d *document) unique(i int) error {
	count := int(d.nodes[i].count)
	if count < 2 {
		return nil
	}
	if count > 16 {
		seen := make(map[string]struct{}, count)
		for k := uint32(i) + 1; k < d.nodes[i].next; k = d.nodes[k+1].next {
			key := d.plainCopy(k)
			if _, ok := seen[string(key)]; ok {
				return errTwice
			}
			seen[string(key)] = struct{}{}
		}
		return nil
	}
	for k := uint32(i) + 1; k < d.nodes[i].next; k = d.nodes[k+1].next {
		key := d.plainCopy(k)
		for o := d.nodes[k+1].next; o < d.nodes[i].next; o = d.nodes[o+1].next {
			if bytes.Equal(key, d.plainCopy(o)) {
				return errTwice
			}
		}
	}
	return nil
}

// member returns the index of the value of a key, or 0 if the object has none
// or a null. (0 is the root, which is nobody's member.)
func (d *document) member(object uint32, name string) uint32 {
	n := &d.nodes[object]
	if n.kind != nodeObject {
		return 0
	}
	for k := object + 1; k < n.next; k = d.nodes[k+1].next {
		kn := &d.nodes[k]
		if kn.flags == 0 {
			if string(d.src[kn.start:kn.end]) != name {
				continue
			}
		} else if string(d.plainCopy(k)) != name {
			continue
		}
		if d.nodes[k+1].kind == nodeNull {
			return 0
		}
		return k + 1
	}
	return 0
}

// memberAt is member for the member at place m of the structure that the
// object was converted to.
func (d *document) memberAt(object uint32, m int) uint32 {
	n := &d.nodes[object]
	for k := object + 1; k < n.next; k = d.nodes[k+1].next {
		if d.nodes[k].num == int64(m)+1 {
			if d.nodes[k+1].kind == nodeNull {
				return 0
			}
			return k + 1
		}
	}
	return 0
}
