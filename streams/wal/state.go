package wal

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"

	"github.com/firehosed/firehosed/streams"
)

// stateLimit bounds all keys and values together: they live in memory and in
// every snapshot.
const stateLimit = 64 << 20

// keyed is the engine's state: the newest value of each key, as far as it is
// durable.
type keyed struct {
	mu     sync.RWMutex
	values map[string][]byte
	bytes  int64
}

func (k *keyed) get(key string) []byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return bytes.Clone(k.values[key])
}

func (k *keyed) all(prefix string) map[string][]byte {
	k.mu.RLock()
	defer k.mu.RUnlock()
	out := make(map[string][]byte)
	for key, v := range k.values {
		if strings.HasPrefix(key, prefix) {
			out[key] = bytes.Clone(v)
		}
	}
	return out
}

// set keeps value itself; it must not change afterwards.
func (k *keyed) set(key string, value []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, ok := k.values[key]; ok {
		k.bytes -= int64(len(key) + len(old))
	}
	if value == nil {
		delete(k.values, key)
		return
	}
	if k.values == nil {
		k.values = make(map[string][]byte)
	}
	k.values[key] = value
	k.bytes += int64(len(key) + len(value))
}

func (k *keyed) size() int64 {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.bytes
}

// stateSize is how many bytes appendState writes.
func stateSize(s []streams.StateUpdate) int {
	n := 0
	for i := range s {
		n += uvarintSize(uint64(len(s[i].Key))) + uvarintSize(uint64(len(s[i].Value))+1) + len(s[i].Key) + len(s[i].Value)
	}
	return n
}

// appendState encodes updates: key length, value length + 1 or 0 for a
// removal, key, value.
func appendState(b []byte, s []streams.StateUpdate) []byte {
	for i := range s {
		b = binary.AppendUvarint(b, uint64(len(s[i].Key)))
		if s[i].Value == nil {
			b = append(b, 0)
		} else {
			b = binary.AppendUvarint(b, uint64(len(s[i].Value))+1)
		}
		b = append(b, s[i].Key...)
		b = append(b, s[i].Value...)
	}
	return b
}

// decodeState reads what appendState wrote. Keys and values are copies.
func decodeState(body []byte, count uint32) (out []streams.StateUpdate, ok bool) {
	for range count {
		kl, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, false
		}
		body = body[n:]
		vl, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, false
		}
		body = body[n:]
		if kl > uint64(len(body)) {
			return nil, false
		}
		u := streams.StateUpdate{Key: string(body[:kl])}
		body = body[kl:]
		if vl > 0 {
			vl--
			if vl > uint64(len(body)) {
				return nil, false
			}
			u.Value = append(make([]byte, 0, vl), body[:vl]...)
			body = body[vl:]
		}
		out = append(out, u)
	}
	return out, len(body) == 0
}

// State implements streams.Engine.
func (l *Log) State(key string) []byte { return l.state.get(key) }

// StateAll implements streams.Engine.
func (l *Log) StateAll(prefix string) map[string][]byte { return l.state.all(prefix) }
