package wire

import "slices"

// textReader is what repeat asks the parser of a format.
type textReader interface {
	// gap returns up to where the sources of objects with this key are the same
	// whatever its value, a text or blob, is.
	gap(key, value *node) uint32
	// textAt reads the text or blob behind such a place. It returns false for
	// anything else, and for what has to be looked into.
	textAt(pos int) (kind nodeKind, flags uint8, start, end int, ok bool)
}

// repeat adds an object at pos that differs from like, an object before it in
// the same list, or 0, in its texts and blobs alone: most lists of objects are
// of such. It returns where the object ends. All between the texts is the same to
// the byte, so it is well-formed, means the same, and no key is there twice.
//
// With false nothing was added: the object has to be read in full, which also
// tells what is wrong with it. As that object then takes the place of like, no
// object is tried in vain more than once.
func (d *document) repeat(like uint32, pos int, r textReader) (end int, ok bool) {
	size := 1 + 2*int(d.nodes[like].count)
	at := len(d.nodes)
	if like == 0 || size == 1 || int(d.nodes[like].next-like) != size || at+size > MaxValues {
		return 0, false
	}
	d.nodes = slices.Grow(d.nodes, size)
	pattern, nodes := d.nodes[like:int(like)+size], d.nodes[at:at+size]
	first, from, loose := pos, pattern[0].start, 0
	for k := 1; k < size; k += 2 {
		key, value := &pattern[k], &pattern[k+1]
		if value.kind != nodeString && value.kind != nodeBytes || value.flags&flagChunked != 0 {
			return 0, false
		}
		to := r.gap(key, value)
		if !d.again(pos, from, to) {
			return 0, false
		}
		n := &nodes[k] // member by member: see addSpan
		n.num = 0
		n.start = uint32(pos) + key.start - from
		n.end = n.start + key.end - key.start
		n.next, n.count = uint32(at+k+1), like+uint32(k)
		n.kind, n.flags = nodeString, key.flags

		kind, flags, start, end, ok := r.textAt(pos + int(to-from))
		if !ok {
			return 0, false
		}
		n = &nodes[k+1]
		n.num = 0
		n.start, n.end = uint32(start), uint32(end)
		n.next, n.count = uint32(at+k+2), 0
		n.kind, n.flags = kind, flags
		loose += int(flags & flagLoose)
		pos, from = end, value.end
	}
	if !d.again(pos, from, pattern[0].end) {
		return 0, false
	}
	end = pos + int(pattern[0].end-from)
	nodes[0] = node{kind: nodeObject, start: uint32(first), end: uint32(end), next: uint32(at + size), count: pattern[0].count}
	d.loose += loose / int(flagLoose)
	d.nodes = d.nodes[:at+size]
	return end, true
}

// again reports whether the source at pos is that from one place to another.
func (d *document) again(pos int, from, to uint32) bool {
	size := int(to - from)
	return size <= len(d.src)-pos && string(d.src[pos:pos+size]) == string(d.src[from:to])
}
