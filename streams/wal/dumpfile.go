package wal

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// binary dumps a journal or segment file: its head, every frame whose header
// is whole, what lies between, and of a sealed segment index and trailer.
func (d *dumper) binary(kind, name string, w *window) error {
	d.frames, d.bad, d.key = 0, 0, nil
	head, err := w.at(0, segmentHead)
	if err != nil {
		return err
	}
	if d.id == "" && len(head) >= 32 && (string(head[:8]) == journalMagic || string(head[:8]) == segmentMagic) {
		// A file that lies alone names its log in its head.
		if err := d.know(hex.EncodeToString(head[16:32])); err != nil {
			return err
		}
	}
	if d.id == "" {
		return fmt.Errorf("%s: %w: there is no file %s near it, and its own head is damaged; name the id", name, ErrNoLogID, formatFile)
	}
	var generation uint32
	from := int64(segmentHead)
	if kind == "journal" {
		from = block
		generation, err = d.journalHead(head)
	} else {
		err = d.segmentHead(head)
	}
	if err != nil {
		return err
	}
	end, err := d.footer(kind, w)
	if err != nil {
		return err
	}
	if err := d.walk(w, kind, generation, from, end); err != nil {
		return err
	}
	if end < w.size {
		if err := d.index(w, end); err != nil {
			return err
		}
	}
	return d.entry("end", w.size, field{"frames", d.frames}, field{"bad", d.bad})
}

func (d *dumper) journalHead(b []byte) (generation uint32, err error) {
	h, ok := parseFileHead(b, d.seed)
	if !ok {
		return 0, d.badHead(b)
	}
	return h.generation, d.entry("head", 0, withKey([]field{
		{"format", formatVersion},
		{"log", fmt.Sprintf("%x", h.logID)},
		{"generation", h.generation},
		{"start", h.start},
		{"checksum", match(true)},
	}, h.key)...)
}

func (d *dumper) segmentHead(b []byte) error {
	m, ok := parseSegmentHead(b, d.seed)
	if !ok {
		return d.badHead(b)
	}
	if !m.key.none() && d.keys.has(m.key) {
		var err error
		if d.key, err = d.keys.at(inSegment(m.stream, m.shard, m.base), m.key, ""); err != nil {
			return err
		}
	}
	return d.entry("head", 0, withKey([]field{
		{"format", formatVersion},
		{"log", fmt.Sprintf("%x", m.logID)},
		{"stream", m.stream},
		{"shard", m.shard},
		{"base", m.base},
		{"made", stamp(m.made)},
		{"checksum", match(true)},
	}, m.key)...)
}

// withKey adds which key the frames behind are encrypted with, if they are.
func withKey(f []field, id KeyID) []field {
	if id.none() {
		return f
	}
	return append(f, field{"key", id.String()})
}

func (d *dumper) badHead(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	d.bad++
	return d.entry("head", 0, field{"checksum", match(false)}, field{"zero", allZero(b)})
}

func allZero(b []byte) bool { return !slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) }

// footer prints the trailer of a sealed segment, and returns where the frames
// end.
func (d *dumper) footer(kind string, w *window) (int64, error) {
	if kind != "segment" || w.size < segmentHead+trailerBytes {
		return w.size, nil
	}
	b, err := w.at(w.size-trailerBytes, trailerBytes)
	if err != nil {
		return 0, err
	}
	t, _, ok := parseTrailer(b, w.size, d.seed)
	if !ok {
		return w.size, nil
	}
	return t.indexAt, nil
}

// index prints the index and the trailer of a sealed segment.
func (d *dumper) index(w *window, at int64) error {
	b, err := w.at(w.size-trailerBytes, trailerBytes)
	if err != nil {
		return err
	}
	t, crc, ok := parseTrailer(b, w.size, d.seed)
	if !ok {
		return nil // it was, a moment ago: the file is being written
	}
	sum := d.seed
	for n := uint32(0); n < t.entries; n++ {
		off := at + int64(n)*indexEntrySize
		b, err := w.at(off, indexEntrySize)
		if err != nil {
			return err
		}
		if len(b) < indexEntrySize {
			break
		}
		sum = checksum(sum, b)
		e := decodeIndex(b)[0]
		if err := d.entry("index", off, field{"seq", t.base + uint64(e.seq)}, field{"frame", e.off},
			field{"arrival", stamp(t.first + int64(e.arrival))}, field{"payload", e.payload}); err != nil {
			return err
		}
	}
	if sum != crc {
		d.bad++
	}
	return d.entry("trailer", w.size-trailerBytes, field{"base", t.base}, field{"next", t.next}, field{"first", stamp(t.first)},
		field{"last", stamp(t.last)}, field{"payload", t.payload}, field{"index_at", t.indexAt}, field{"entries", t.entries},
		field{"index_checksum", match(sum == crc)}, field{"checksum", match(true)})
}

// walk prints the frames between two offsets. In a journal, frames outside the
// groups of the file's generation are what an earlier use left behind.
func (d *dumper) walk(w *window, kind string, generation uint32, off, end int64) error {
	groupEnd := int64(0)
	for off < end {
		b, err := w.at(off, headerBytes)
		if err != nil {
			return err
		}
		h, ok := parseHeader(b, d.seed)
		if !ok {
			next, err := d.gap(w, off, end, groupEnd)
			if err != nil {
				return err
			}
			if next == off {
				return nil // the file became shorter meanwhile
			}
			off = next
			continue
		}
		if b, err = w.at(off, headerBytes+int(h.length)); err != nil {
			return err
		}
		d.frames++
		whole := len(b) == headerBytes+int(h.length) && bodyOK(b, h, d.seed)
		stale := kind == "journal" && off >= groupEnd
		if h.kind == kindGroup {
			if g, ok := parseGroup(b, d.seed); ok {
				if generation == 0 {
					generation = g.generation // the head is damaged
				}
				if stale = kind == "journal" && g.generation != generation; !stale {
					if groupEnd > 0 && off > groupEnd {
						d.bad++ // one is missing in between
					}
					groupEnd = off + int64(g.total)
				}
				if d.key = nil; !g.key.none() && d.keys.has(g.key) {
					if d.key, err = d.keys.journalAt(g.keyGeneration, g.key, ""); err != nil {
						return err
					}
				}
				if err := d.group(off, &h, &g, stale); err != nil {
					return err
				}
				off += groupHead
				continue
			}
			whole = false
		}
		if err := d.frame(off, &h, whole, stale); err != nil {
			return err
		}
		if !whole {
			if !stale {
				d.bad++
			}
			if off, err = d.behind(w, off, &h, end, groupEnd); err != nil {
				return err
			}
			continue
		}
		if d.opt.Records {
			if err := d.opened(off, h, b); err != nil {
				return err
			}
		}
		off += int64(h.size())
	}
	return nil
}

// behind returns where to go on after a frame whose body is damaged: behind it,
// if something is there that shows the length to be right, else within.
func (d *dumper) behind(w *window, off int64, h *header, end, groupEnd int64) (int64, error) {
	next := off + int64(h.size())
	if next == end || (next <= groupEnd && groupEnd-next < block) {
		return next, nil
	}
	b, err := w.at(next, headerBytes)
	if err != nil {
		return 0, err
	}
	if _, ok := parseHeader(b, d.seed); ok {
		return next, nil
	}
	return off + 8, nil
}

// gap prints a run of bytes that are no frame, and returns where the next
// frame begins. Zeros are padding, or room that was not written yet.
func (d *dumper) gap(w *window, from, end, groupEnd int64) (int64, error) {
	zero := true
	off := from
	for off < end {
		b, err := w.at(off, int(min(maxChunk, end-off)))
		if err != nil {
			return 0, err
		}
		if len(b) == 0 {
			return from, nil
		}
		i := 0
		for ; i < len(b); i += 8 {
			if i > 0 || off > from {
				if h := b[i:]; len(h) < headerBytes && off+int64(len(b)) < end {
					break // it goes on in the next piece
				} else if _, ok := parseHeader(h, d.seed); ok {
					return off + int64(i), d.between(from, off+int64(i), groupEnd, zero)
				}
			}
			zero = zero && allZero(b[i:min(i+8, len(b))])
		}
		if i == 0 {
			i = len(b)
		}
		off += int64(min(i, len(b)))
	}
	return end, d.between(from, end, groupEnd, zero)
}

func (d *dumper) between(from, to, groupEnd int64, zero bool) error {
	if zero && to <= groupEnd {
		return nil // the padding of a group
	}
	what := "bytes"
	if zero {
		what = "zeros"
	} else if from < groupEnd || groupEnd == 0 {
		d.bad++ // within what was written; behind it lies what an earlier use left
	}
	return d.entry(what, from, field{"to", to}, field{"length", to - from})
}

func (d *dumper) group(off int64, h *header, g *groupInfo, stale bool) error {
	f := []field{
		{"lsn", g.lsn},
		{"number", g.number},
		{"bytes", g.total},
		{"frames", g.frames},
		{"generation", g.generation},
		{"synced", g.synced},
		{"written", stamp(h.time)},
		{"checksum", match(true)},
	}
	f = withKey(f, g.key)
	if stale {
		f = append(f, field{"stale", true})
	}
	return d.entry("group", off, f...)
}

var kindNames = map[uint8]string{kindGroup: "group", kindRecords: "records", kindState: "state", kindControl: "control", kindPad: "pad"}

func (d *dumper) frame(off int64, h *header, whole, stale bool) error {
	name := kindNames[h.kind]
	if h.isRecords() {
		name = kindNames[kindRecords]
	}
	if name == "" {
		name = strconv.Itoa(int(h.kind))
	}
	f := []field{{"kind", name}}
	if h.isRecords() {
		f = append(f, field{"stream", h.stream}, field{"shard", h.shard}, field{"base", h.seq}, field{"count", h.count}, field{"arrival", stamp(h.time)})
	} else {
		f = append(f, field{"group", h.seq}, field{"count", h.count}, field{"written", stamp(h.time)})
	}
	f = append(f, field{"length", h.length}, field{"checksum", match(whole)})
	if h.encrypted {
		f = append(f, field{"encrypted", true})
	}
	if h.isRecords() && h.kind != kindRecords {
		f = append(f, field{"compressed", true})
	}
	if stale {
		f = append(f, field{"stale", true})
	}
	return d.entry("frame", off, f...)
}

// opened prints what a whole frame holds that may be encrypted and compressed.
// Offsets are those that the parts would have without.
func (d *dumper) opened(off int64, h header, b []byte) error {
	if !h.encrypted {
		return d.unpacked(off, h, b)
	}
	if d.key == nil {
		return d.entry("contents", off+headerBytes, field{"error", "encrypted, and the key is not there"})
	}
	plain, ok := d.key.decrypt(slices.Clone(b))
	if !ok {
		d.bad++
		return d.entry("contents", off+headerBytes, field{"error", "encrypted bytes were altered"})
	}
	h.length -= encryptionBytes
	return d.unpacked(off, h, plain[:headerBytes+h.length])
}

func (d *dumper) unpacked(off int64, h header, b []byte) error {
	if h.isRecords() && h.kind != kindRecords {
		plain, ok := d.codec.decompress(b, nil)
		if !ok {
			d.bad++
			return d.entry("contents", off+headerBytes, field{"error", "compressed bytes are not what was written"})
		}
		h.kind, h.length = kindRecords, binary.LittleEndian.Uint32(plain[4:])
		b = plain[:headerBytes+h.length]
	}
	return d.contents(off+headerBytes, &h, b[headerBytes:])
}

// contents prints what a whole frame holds.
func (d *dumper) contents(off int64, h *header, body []byte) error {
	switch h.kind {
	case kindRecords:
		return d.records(off, h, body)
	case kindState:
		updates, ok := decodeState(body, h.count)
		if !ok {
			d.bad++
			return d.entry("state", off, field{"error", "the body does not hold the updates it should"})
		}
		for _, u := range updates {
			if err := d.entry("state", off, append([]field{{"key", u.Key}, {"removed", u.Value == nil}}, d.value("value", u.Value)...)...); err != nil {
				return err
			}
		}
	case kindControl:
		if d.opt.JSON && json.Valid(body) {
			return d.entry("control", off, field{"control", json.RawMessage(body)})
		}
		return d.entry("control", off, field{"control", string(body)})
	}
	return nil
}

func (d *dumper) records(off int64, h *header, body []byte) error {
	total := len(body)
	for i := range h.count {
		at := off + int64(total-len(body))
		r, rest, ok := nextRecord(body)
		if !ok {
			d.bad++
			return d.entry("record", at, field{"seq", h.seq + uint64(i)}, field{"error", errRecords.Error()})
		}
		body = rest
		f := []field{{"seq", h.seq + uint64(i)}, {"arrival", stamp(h.time + int64(r.delta))}} //nolint:gosec // At most 32 bits.
		f = append(f, d.value("key", r.key)...)
		if r.explicit {
			f = append(f, field{"hash_key", r.hash.String()})
		}
		f = append(f, field{"bytes", len(r.data)})
		if err := d.entry("record", at, append(f, d.value("data", r.data)...)...); err != nil {
			return err
		}
	}
	return nil
}

// shownBytes is how much of a value text shows.
const shownBytes = 120

// value is a field of any bytes: in JSON a string, or base64 under another name
// if it is not UTF-8; in text a string that is cut off.
func (d *dumper) value(key string, b []byte) []field {
	if d.opt.JSON {
		if utf8.Valid(b) {
			return []field{{key, string(b)}}
		}
		return []field{{key + "_base64", b}}
	}
	if len(b) > shownBytes {
		return []field{{key, string(b[:shownBytes])}, {key + "_cut", len(b) - shownBytes}}
	}
	return []field{{key, string(b)}}
}

// snapshot dumps a snapshot: its checksum, the numbers, and a line for each
// stream, shard, damaged range and key of state.
func (d *dumper) snapshot(w *window) error {
	if w.size > maxSnapshot {
		return d.entry("snapshot", 0, field{"error", "too large to be one"})
	}
	b, err := w.at(0, int(w.size))
	if err != nil {
		return err
	}
	if d.id == "" {
		var only struct{ Log string }
		if i := len(b) - snapshotTail; i > 0 && json.Unmarshal(b[:i], &only) == nil {
			_ = d.know(only.Log) // a wrong one shows as a bad checksum
		}
	}
	n, err := decodeSnapshot(b, d.seed, d.keys)
	if errors.Is(err, ErrKey) {
		return d.entry("snapshot", 0, field{"checksum", match(true)}, field{"error", err.Error()})
	}
	sum := err == nil
	if err != nil {
		// What can be read of it may still help.
		n = new(snapshot)
		body := b
		if i := len(b) - snapshotTail; i > 0 {
			body = b[:i]
		}
		if jerr := json.Unmarshal(body, n); jerr != nil {
			return d.entry("snapshot", 0, field{"checksum", match(false)}, field{"error", jerr.Error()})
		}
	}
	if err := d.entry("snapshot", 0, field{"number", n.Number}, field{"log", n.Log}, field{"written", stamp(n.Written.UnixMilli())},
		field{"lsn", n.LSN}, field{"synced", n.Synced}, field{"generation", n.Generation}, field{"group", n.Group},
		field{"next_stream", n.NextStream}, field{"streams", len(n.Streams)}, field{"deleting", len(n.Deleting)},
		field{"state", len(n.State)}, field{"checksum", match(sum)}); err != nil {
		return err
	}
	for i := range n.Streams {
		if err := d.snapStream(&n.Streams[i]); err != nil {
			return err
		}
	}
	if !d.opt.Records {
		return nil
	}
	for _, s := range n.State {
		if err := d.entry("state", 0, append([]field{{"key", string(s.Key)}}, d.value("value", s.Value)...)...); err != nil {
			return err
		}
	}
	return nil
}

func (d *dumper) snapStream(e *snapStream) error {
	f := []field{
		{"id", e.ID},
		{"name", string(e.Name)},
		{"created", stamp(e.Created)},
		{"retention", msDuration(e.Retention).String()},
		{"next_shard", e.NextShard},
		{"shards", len(e.Shards)},
	}
	if e.Durability != "" {
		f = append(f, field{"durability", string(e.Durability)})
	}
	if err := d.entry("stream", 0, f...); err != nil {
		return err
	}
	for i := range e.Shards {
		s := &e.Shards[i]
		f := []field{
			{"stream", e.ID},
			{"id", s.ID},
			{"start", s.Start.String()},
			{"end", s.End.String()},
			{"oldest", s.Oldest},
			{"next", s.Next},
			{"open_base", s.Base},
			{"open_bytes", s.Bytes},
			{"closed", s.Closed != 0},
		}
		for name, h := range map[string]*snapHole{"refuse": s.Refuse, "suspect": s.Suspect} {
			if h != nil {
				f = append(f, field{name, h.Reason})
			}
		}
		slices.SortFunc(f[9:], func(a, b field) int { return len(a.key) - len(b.key) }) // refuse before suspect
		if err := d.entry("shard", 0, f...); err != nil {
			return err
		}
		for _, h := range s.Damage {
			if err := d.entry("damage", 0, field{"stream", e.ID}, field{"shard", s.ID}, field{"from", h.From}, field{"to", h.To},
				field{"file", h.File}, field{"begin", h.Begin}, field{"end", h.End}, field{"given_up", h.GivenUp}, field{"reason", h.Reason}); err != nil {
				return err
			}
		}
	}
	return nil
}
