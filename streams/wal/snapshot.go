package wal

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/streams"
)

// errContent means that bytes with a right checksum make no sense.
var errContent = errors.New("content is not understood")

// text is any bytes as a JSON string: as they are if they are UTF-8, else, or
// if they look like it, as "base64:" and that.
type text string

func (t text) MarshalText() ([]byte, error) {
	if !utf8.ValidString(string(t)) || strings.HasPrefix(string(t), "base64:") {
		return []byte("base64:" + base64.StdEncoding.EncodeToString([]byte(t))), nil
	}
	return []byte(t), nil
}

func (t *text) UnmarshalText(b []byte) error {
	enc, ok := bytes.CutPrefix(b, []byte("base64:"))
	if !ok {
		*t = text(b)
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(string(enc))
	*t = text(raw)
	return err
}

// snapshot is everything that is not records, as of one place in the journal.
// See docs/formats/snapshot.md.
type snapshot struct {
	Format     int          `json:"format"`
	Log        string       `json:"log"` // id of the log, hexadecimal
	Number     uint64       `json:"number"`
	Written    time.Time    `json:"written"`
	LSN        uint64       `json:"lsn"`    // the journal is replayed from here
	Synced     uint64       `json:"synced"` // the journal was durable up to here
	Generation uint32       `json:"generation"`
	Group      uint64       `json:"group"`
	NextStream uint64       `json:"next_stream"`
	Clock      clockState   `json:"clock"`
	Streams    []snapStream `json:"streams,omitempty"` // encode writes them itself
	Deleting   []uint64     `json:"deleting,omitempty"`
	State      []snapState  `json:"state,omitempty"`

	// Of an encrypted file, see encryptedSnapshot.
	Key       string `json:"key,omitempty"`
	Encrypted []byte `json:"encrypted,omitempty"`
}

// snapState is a list's entry because the keys of a JSON map cannot be text.
type snapState struct {
	Key   text   `json:"key"`
	Value []byte `json:"value"`
}

type snapStream struct {
	ID        uint64 `json:"id"`
	Name      text   `json:"name"`
	Created   int64  `json:"created_ms"`
	Retention int64  `json:"retention_ms"`
	Bound     int64  `json:"retention_bytes,omitempty"`
	// Durability is missing if it is fsync.
	Durability streams.Durability `json:"durability,omitempty"`
	NextShard  uint32             `json:"next_shard"`
	Shards     []snapShard        `json:"shards,omitempty"` // encode writes them itself

	facts []shardFacts // Shards are made of
}

func (st *snapStream) durability() streams.Durability { return cmp.Or(st.Durability, streams.Fsync) }

type snapShard struct {
	ID       uint32     `json:"id"`
	Start    snapKey    `json:"start"`
	End      snapKey    `json:"end"`
	Parent   *uint32    `json:"parent,omitempty"`
	Adjacent *uint32    `json:"adjacent,omitempty"`
	Created  int64      `json:"created_ms"`
	Closed   int64      `json:"closed_ms,omitempty"`
	Oldest   uint64     `json:"oldest"`
	Next     uint64     `json:"next"`
	Last     int64      `json:"last_ms,omitempty"`
	Base     uint64     `json:"open_base,omitempty"`
	Bytes    int64      `json:"open_bytes,omitempty"`
	Damage   []snapHole `json:"damage,omitempty"`
	Refuse   *snapHole  `json:"refuse,omitempty"`
	Suspect  *snapHole  `json:"suspect,omitempty"`
}

type snapHole struct {
	From   uint64 `json:"from,omitempty"` // sequences
	To     uint64 `json:"to,omitempty"`
	File   string `json:"file"`
	Begin  int64  `json:"begin"` // bytes
	End    int64  `json:"end"`
	Reason string `json:"reason"`
	// GivenUp by repair: reads pass over the range.
	GivenUp bool `json:"given_up,omitempty"`
}

func holeOf(e *streams.DamageError) *snapHole {
	if e == nil {
		return nil
	}
	return &snapHole{File: e.File, Begin: e.From, End: e.To, Reason: e.Reason}
}

func (h *snapHole) err() *streams.DamageError {
	if h == nil {
		return nil
	}
	return &streams.DamageError{File: h.File, From: h.Begin, To: h.End, Reason: h.Reason}
}

// snapKey is a hash key as 32 hexadecimal digits.
type snapKey streams.HashKey

func (k snapKey) append(b []byte) []byte {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], k.Hi)
	binary.BigEndian.PutUint64(raw[8:], k.Lo)
	return hex.AppendEncode(b, raw[:])
}

func (k snapKey) String() string { return string(k.append(nil)) }

// MarshalText implements encoding.TextMarshaler.
func (k snapKey) MarshalText() ([]byte, error) { return k.append(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *snapKey) UnmarshalText(b []byte) error {
	var raw [16]byte
	if n, err := hex.Decode(raw[:], b[:min(len(b), 2*len(raw))]); err != nil || n != len(raw) || len(b) != 2*n {
		return fmt.Errorf("%w: hash key %q", errContent, b)
	}
	k.Hi, k.Lo = binary.BigEndian.Uint64(raw[:]), binary.BigEndian.Uint64(raw[8:])
	return nil
}

// capture copies the metadata as of l.durable. l.mu is held. Positions of
// shards are filled in later, when they are in the segments.
func (l *Log) capture() *snapshot {
	n := &snapshot{
		Format: formatVersion, Log: hex.EncodeToString(l.id[:]), Number: l.snapNumber + 1, Written: l.now(),
		LSN: l.durable, Synced: l.durable, Group: l.groupNumber,
		NextStream: l.nextStream, Clock: l.clock.state(), Deleting: slices.Clone(l.deleting),
	}
	n.Streams = make([]snapStream, 0, len(l.byID))
	for _, st := range l.byID {
		e := snapStream{
			ID: st.id, Name: text(st.name), Created: st.created.UnixMilli(),
			Retention: st.retention.Milliseconds(), Bound: st.bound, NextShard: uint32(st.nextShard), facts: st.facts(),
		}
		if st.durability != streams.Fsync {
			e.Durability = st.durability
		}
		n.Streams = append(n.Streams, e)
	}
	l.state.mu.RLock()
	n.State = make([]snapState, 0, len(l.state.values))
	for k, v := range l.state.values {
		n.State = append(n.State, snapState{text(k), v})
	}
	l.state.mu.RUnlock()
	return n
}

// place puts everything in order.
func (n *snapshot) place() {
	slices.SortFunc(n.State, func(a, b snapState) int { return strings.Compare(string(a.Key), string(b.Key)) })
	slices.SortFunc(n.Streams, func(a, b snapStream) int { return cmpU64(a.ID, b.ID) })
}

// snapshot returns a shard with what the last checkpoint brought to its
// segments.
func (s *shardFacts) snapshot() snapShard {
	e := snapShard{
		ID: uint32(s.id), Start: snapKey(s.rng.Start), End: snapKey(s.rng.End),
		Created: s.created.UnixMilli(), Refuse: holeOf(s.refuse),
	}
	if s.parent != streams.NoShard {
		e.Parent = (*uint32)(&s.parent)
	}
	if s.adjacent != streams.NoShard {
		e.Adjacent = (*uint32)(&s.adjacent)
	}
	if s.closed {
		e.Closed = s.closedAt.UnixMilli()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.position
	e.Oldest, e.Next, e.Last, e.Base, e.Bytes = uint64(p.oldest), uint64(p.next), p.last, uint64(p.base), p.bytes
	for _, d := range s.damage {
		h := holeOf(d.err)
		h.From, h.To, h.GivenUp = uint64(d.from), uint64(d.to), d.givenUp
		e.Damage = append(e.Damage, *h)
	}
	e.Suspect = holeOf(s.suspect)
	return e
}

func cmpU64(a, b uint64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// encode returns the file: JSON, and a last line with its checksum. The shards
// of a stream, of which there may be ten thousand, are written without
// reflection, a line each.
func (n *snapshot) encode(seed uint32, keys *keyring) ([]byte, error) {
	head := *n
	head.Streams = nil
	b, err := json.MarshalIndent(&head, "", " ")
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	b = append(bytes.TrimSuffix(b, []byte("\n}")), ",\n \"streams\": ["...)
	for i := range n.Streams {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = n.Streams[i].append(b); err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
	}
	b = append(b, "\n ]\n}\n"...)
	if b, err = n.encrypt(b, keys); err != nil {
		return nil, err
	}
	return fmt.Appendf(b, "crc32c %08x\n", checksum(seed, b)), nil
}

func (st *snapStream) append(b []byte) ([]byte, error) {
	head := *st
	head.Shards = nil
	enc, err := json.Marshal(&head)
	if err != nil {
		return nil, err
	}
	b = append(append(b, "\n  "...), bytes.TrimSuffix(enc, []byte("}"))...)
	b = append(b, ",\"shards\":["...)
	sep := "\n   "
	for i := range st.Shards {
		if b, err = st.Shards[i].append(append(b, sep...)); err != nil {
			return nil, err
		}
		sep = ",\n   "
	}
	for i := range st.facts {
		e := st.facts[i].snapshot()
		if b, err = e.append(append(b, sep...)); err != nil {
			return nil, err
		}
		sep = ",\n   "
	}
	return append(b, "\n  ]}"...), nil
}

// append writes what encoding/json would.
func (e *snapShard) append(b []byte) ([]byte, error) {
	uint := func(name string, v uint64) {
		b = strconv.AppendUint(append(b, name...), v, 10)
	}
	int := func(name string, v int64) {
		if v != 0 {
			b = strconv.AppendInt(append(b, name...), v, 10)
		}
	}
	uint(`{"id":`, uint64(e.ID))
	b = append(b, `,"start":"`...)
	b = e.Start.append(b)
	b = append(b, `","end":"`...)
	b = append(e.End.append(b), '"')
	if e.Parent != nil {
		uint(`,"parent":`, uint64(*e.Parent))
	}
	if e.Adjacent != nil {
		uint(`,"adjacent":`, uint64(*e.Adjacent))
	}
	b = strconv.AppendInt(append(b, `,"created_ms":`...), e.Created, 10)
	int(`,"closed_ms":`, e.Closed)
	uint(`,"oldest":`, e.Oldest)
	uint(`,"next":`, e.Next)
	int(`,"last_ms":`, e.Last)
	if e.Base != 0 {
		uint(`,"open_base":`, e.Base)
	}
	int(`,"open_bytes":`, e.Bytes)
	for _, x := range []struct {
		name string
		v    any
		any  bool
	}{
		{`,"damage":`, e.Damage, len(e.Damage) > 0},
		{`,"refuse":`, e.Refuse, e.Refuse != nil},
		{`,"suspect":`, e.Suspect, e.Suspect != nil},
	} {
		if !x.any {
			continue
		}
		enc, err := json.Marshal(x.v)
		if err != nil {
			return nil, err
		}
		b = append(append(b, x.name...), enc...)
	}
	return append(b, '}'), nil
}

const snapshotTail = len("crc32c 00000000\n")

// decodeSnapshot reads what encode returned. The error is ErrKey if the key for
// it is not there.
func decodeSnapshot(b []byte, seed uint32, keys *keyring) (*snapshot, error) {
	if len(b) < snapshotTail {
		return nil, fmt.Errorf("%w: %d bytes are too short", errContent, len(b))
	}
	body, tail := b[:len(b)-snapshotTail], b[len(b)-snapshotTail:]
	if string(tail) != fmt.Sprintf("crc32c %08x\n", checksum(seed, body)) {
		return nil, fmt.Errorf("%w: checksum does not match", errContent)
	}
	n := new(snapshot)
	if err := json.Unmarshal(body, n); err != nil {
		return nil, fmt.Errorf("%w: %w", errContent, err)
	}
	if n.Format != formatVersion {
		return nil, fmt.Errorf("%w: format %d, this version reads %d", errContent, n.Format, formatVersion)
	}
	if n.Key != "" {
		return n.open(keys)
	}
	return n, nil
}

func snapshotName(number uint64) string { return fmt.Sprintf("snapshot-%016x.json", number) }

func snapshotNumber(name string) (uint64, bool) {
	s, ok := strings.CutPrefix(name, "snapshot-")
	if !ok {
		return 0, false
	}
	if s, ok = strings.CutSuffix(s, ".json"); !ok || len(s) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 16, 64)
	return n, err == nil
}

// writeFile replaces a file so that after a crash it is the old or the new.
func writeFile(fsys vfs.FS, path string, b []byte) error {
	tmp := path + ".tmp"
	f, err := fsys.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fsys.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	if err := fsys.SyncDir(filepath.Dir(path)); err != nil {
		return syncFailed(err)
	}
	return nil
}

// readFile reads a small file; limit guards memory.
func readFile(fsys vfs.FS, path string, limit int64) ([]byte, error) {
	f, err := fsys.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("%s: %w: more than %d bytes", path, errContent, limit)
	}
	return b, err
}
