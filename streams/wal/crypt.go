package wal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// How bodies are encrypted stands in docs/formats/encryption.md.
const (
	// kindEncrypted, in the kind of a frame, says that its body is encrypted.
	kindEncrypted = 0x80
	// encryptionBytes is what encryption adds to a body: a nonce before it and a tag
	// behind it.
	encryptionBytes = 12 + 16
)

// encryptedSize is what a frame with n bytes of body takes in a file when it is
// encrypted.
func encryptedSize(n int) int { return headerBytes + pad8(n+encryptionBytes) }

// keyring holds the master keys of a log. A nil one holds none.
type keyring struct {
	logID   [16]byte
	current *Key // nil: new files are not encrypted
	byID    map[KeyID]*Key
}

// newKeyring returns nil if there are no keys.
func newKeyring(logID [16]byte, keys Keys) *keyring {
	if keys.Current == nil && len(keys.Old) == 0 {
		return nil
	}
	r := &keyring{logID: logID, current: keys.Current, byID: make(map[KeyID]*Key, len(keys.Old)+1)}
	for _, k := range keys.Old {
		r.byID[k.id] = k
	}
	if keys.Current != nil {
		r.byID[keys.Current.id] = keys.Current
	}
	return r
}

// newFiles is the id of the key for new files, zero if they are not encrypted.
func (r *keyring) newFiles() KeyID {
	if r == nil || r.current == nil {
		return KeyID{}
	}
	return r.current.id
}

// has reports whether files with a key id can be read.
func (r *keyring) has(id KeyID) bool {
	if id.none() {
		return true
	}
	if r == nil {
		return false
	}
	_, ok := r.byID[id]
	return ok
}

// missing is the error for a file whose key is not there.
func (r *keyring) missing(file string, id KeyID) error {
	return fmt.Errorf("%w: %s is encrypted with key %s; %s", ErrKey, file, id, r.have())
}

// have tells which keys there are.
func (r *keyring) have() string {
	if r == nil {
		return "no key is configured"
	}
	ids := make([]string, 0, len(r.byID))
	for id := range r.byID {
		ids = append(ids, id.String())
	}
	slices.Sort(ids)
	if len(ids) == 1 {
		return "the configured key is " + ids[0]
	}
	return "the configured keys are " + strings.Join(ids, ", ")
}

// scope is what a data key is for. No two files that can hold different things
// have the same, so a file or a part of it does not pass for another one. It is
// derived from what the file is, and not from a salt in it, so that no damaged
// byte takes the whole file along.
type scope [1 + 8 + 4 + 8]byte

// inJournal is the scope of the groups that begin while the journal writes a
// file of that generation.
func inJournal(generation uint32) (p scope) {
	p[0] = 'j'
	binary.LittleEndian.PutUint32(p[1:], generation)
	return p
}

func inSegment(stream uint64, shard uint32, base uint64) (p scope) {
	p[0] = 's'
	le := binary.LittleEndian
	le.PutUint64(p[1:], stream)
	le.PutUint32(p[9:], shard)
	le.PutUint64(p[13:], base)
	return p
}

func inSnapshot(number uint64) (p scope) {
	p[0] = 'm'
	binary.LittleEndian.PutUint64(p[1:], number)
	return p
}

// dataKey encrypts and decrypts what lies in one scope. Its nonces are random:
// they hold for 2^32 frames, and a file of 1 GiB, the largest, has 2^24 at most.
// It may be used by any number of goroutines.
type dataKey struct {
	id         KeyID // of the master key
	generation uint32
	aead       cipher.AEAD
}

// at derives the data key of a scope. file is for the error.
func (r *keyring) at(p scope, id KeyID, file string) (*dataKey, error) {
	if !r.has(id) || id.none() {
		return nil, r.missing(file, id)
	}
	secret, err := hkdf.Key(sha256.New, r.byID[id].secret[:], r.logID[:], "firehosed data key 1\n"+string(p[:]), 32)
	if err != nil {
		return nil, fmt.Errorf("data key: %w", err)
	}
	b, err := aes.NewCipher(secret)
	if err != nil {
		return nil, fmt.Errorf("data key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(b)
	if err != nil {
		return nil, fmt.Errorf("data key: %w", err)
	}
	return &dataKey{id: id, aead: aead}, nil
}

// journalAt derives the key of the groups that name a generation.
func (r *keyring) journalAt(generation uint32, id KeyID, file string) (*dataKey, error) {
	k, err := r.at(inJournal(generation), id, file)
	if err != nil {
		return nil, err
	}
	k.generation = generation
	return k, nil
}

// encrypt writes a plain frame encrypted to dst, which has the room of encryptedSize.
// Whatever the header of the frame says but its checksums is authenticated.
func (k *dataKey) encrypt(dst, frame []byte, seed uint32) {
	le := binary.LittleEndian
	n := int(le.Uint32(frame[4:]))
	copy(dst, frame[:headerBytes])
	dst[3] |= kindEncrypted
	le.PutUint32(dst[4:], uint32(n+encryptionBytes)) //nolint:gosec // Bounded by frameLimit.
	clear(dst[8:16])
	k.aead.Seal(dst[headerBytes:headerBytes], nil, frame[headerBytes:headerBytes+n], dst[:headerBytes])
	end := headerBytes + n + encryptionBytes
	clear(dst[end:encryptedSize(n)])
	le.PutUint32(dst[8:], checksum(seed, dst[headerBytes:end]))
	le.PutUint32(dst[12:], headerCRC(dst, seed))
}

// open decrypts an encrypted frame in place and returns the plain frame, which
// begins where the other did. The checksums in its header are not those of the
// plain frame; rehash makes them so. If the frame is not what encrypt wrote, ok is
// false, and b is destroyed.
func (k *dataKey) decrypt(b []byte) (frame []byte, ok bool) {
	le := binary.LittleEndian
	n := int(le.Uint32(b[4:]))
	if b[3]&kindEncrypted == 0 || n < encryptionBytes || headerBytes+n > len(b) {
		return nil, false
	}
	clear(b[8:16])
	if _, err := k.aead.Open(b[headerBytes:headerBytes], nil, b[headerBytes:headerBytes+n], b[:headerBytes:headerBytes]); err != nil {
		return nil, false
	}
	n -= encryptionBytes
	b[3] &^= kindEncrypted
	le.PutUint32(b[4:], uint32(n)) //nolint:gosec // Less than it was.
	size := headerBytes + pad8(n)
	clear(b[headerBytes+n : size])
	return b[:size:size], true
}

// rehash gives a frame that open returned the checksums of a plain one.
func rehash(frame []byte, seed uint32) {
	le := binary.LittleEndian
	n := int(le.Uint32(frame[4:]))
	le.PutUint32(frame[8:], checksum(seed, frame[headerBytes:headerBytes+n]))
	le.PutUint32(frame[12:], headerCRC(frame, seed))
}

// segmentKey derives the data key of an encrypted segment.
func (l *Log) segmentKey(s *shard, seg *segment) (*dataKey, error) {
	file := filepath.Join(seg.dir, openName(seg.shard, seg.base, seg.key))
	return l.keys.at(inSegment(s.st.id, uint32(s.id), uint64(seg.base)), seg.key, file)
}

// handleKey is segmentKey, but remembers the key as long as the file is open.
func (l *Log) handleKey(s *shard, seg *segment, h *handle) (*dataKey, error) {
	if k := h.key.Load(); k != nil {
		return k, nil
	}
	k, err := l.segmentKey(s, seg)
	if err == nil {
		h.key.Store(k)
	}
	return k, err
}

// renewJournalKey gives groups that begin from now on the data key of the file
// that the journal writes. It is for the goroutine that writes the journal.
func (l *Log) renewJournalKey() error {
	id := l.keys.newFiles()
	if id.none() {
		return nil
	}
	l.mu.RLock()
	k := l.journalKey
	l.mu.RUnlock()
	if k != nil && k.generation == l.journal.generation {
		return nil
	}
	k, err := l.keys.journalAt(l.journal.generation, id, "journal")
	if err != nil {
		return err
	}
	l.mu.Lock()
	l.journalKey = k
	if len(l.cur.units) == 0 {
		l.cur.key = k
	}
	l.mu.Unlock()
	return nil
}

// encryptBytes is how much one write of encrypted frames gathers.
const encryptBytes = 1 << 20

var encryptBuffers = sync.Pool{New: func() any { b := make([]byte, 0, encryptBytes); return &b }}

// writeEncrypted encrypts frames and writes them to the end of a segment's file.
func (l *Log) writeEncrypted(s *shard, seg *segment, h *handle, off int64, frames []frame) error {
	k, err := l.handleKey(s, seg, h)
	if err != nil {
		return err
	}
	scratch := encryptBuffers.Get().(*[]byte) //nolint:forcetypeassert // The only type in the pool.
	defer encryptBuffers.Put(scratch)
	l.files.wrote(h)
	for len(frames) > 0 {
		b := (*scratch)[:0]
		for len(frames) > 0 {
			n := encryptedSize(len(frames[0].body()))
			if len(b) > 0 && len(b)+n > cap(b) {
				break
			}
			b = slices.Grow(b, n)[:len(b)+n] // a larger one for a frame that is larger alone
			k.encrypt(b[len(b)-n:], frames[0].buf, l.seed)
			frames = frames[1:]
		}
		if _, err := h.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}
