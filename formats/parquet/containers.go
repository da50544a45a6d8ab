package parquet

import (
	"strconv"

	pq "github.com/parquet-go/parquet-go"

	"github.com/firehosed/firehosed/formats/internal/jsonscan"
	"github.com/firehosed/firehosed/formats/schema"
)

// list adds an array. Another value is an array of one, as in the OpenX SerDe.
func (s *shredder) list(pl *place, b []byte, i, rep int) (int, error) {
	if i >= len(b) || b[i] != '[' {
		return s.element(pl, b, i, rep, 0)
	}
	i = jsonscan.SkipSpace(b, i+1)
	if i < len(b) && b[i] == ']' {
		s.null(pl, rep, pl.def)
		return i + 1, nil
	}
	for n, more := 0, true; more; n++ {
		var err error
		if i, err = s.element(pl, b, i, rep, n); err != nil {
			return i, err
		}
		if i, more, err = s.next(b, i, ']', "',' or ']'"); err != nil {
			return i, err
		}
		rep = pl.rep
	}
	return i, nil
}

func (s *shredder) element(pl *place, b []byte, i, rep, n int) (int, error) {
	if s.tooMany() {
		return i, errTooMany
	}
	if s.extra < 0 || pl.elem.kind < schema.List {
		return s.value(pl.elem, b, i, rep)
	}
	s.path = append(s.path, strconv.Itoa(n))
	i, err := s.value(pl.elem, b, i, rep)
	s.path = s.path[:len(s.path)-1]
	return i, err
}

// mapping adds an object as a map.
func (s *shredder) mapping(pl *place, b []byte, i, rep int) (int, error) {
	if i >= len(b) || b[i] != '{' {
		return wrongKind(pl, b, i)
	}
	var last map[string]int
	if s.dedupe {
		var err error
		if last, err = lastKeys(b, i); err != nil {
			return i, err
		}
	}
	i = jsonscan.SkipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		s.null(pl, rep, pl.def)
		return i + 1, nil
	}
	first := len(s.values[pl.key.leaf])
	for more := true; more; {
		next, key, escaped, err := jsonscan.Key(b, i)
		if err != nil {
			return next, err
		}
		if escaped {
			key = jsonscan.Unquote(nil, key)
		}
		if at, ok := last[string(key)]; ok && at != next {
			if i, err = jsonscan.Value(b, next); err != nil { // one of that name follows
				return i, err
			}
		} else {
			if i, err = s.entry(pl, b, next, key, rep); err != nil {
				return i, err
			}
			rep = pl.rep
		}
		if i, more, err = s.next(b, i, '}', "',' or '}'"); err != nil {
			return i, err
		}
	}
	if !s.dedupe && s.repeatedKeys(s.values[pl.key.leaf][first:], pl.key) {
		return i, errRepeated
	}
	return i, nil
}

func (s *shredder) entry(pl *place, b []byte, i int, key []byte, rep int) (int, error) {
	if s.tooMany() {
		return i, errTooMany
	}
	if err := s.fromText(pl.key, key, rep); err != nil {
		return i, err
	}
	if s.extra < 0 || pl.elem.kind < schema.List {
		return s.value(pl.elem, b, i, rep)
	}
	s.path = append(s.path, string(key))
	i, err := s.value(pl.elem, b, i, rep)
	s.path = s.path[:len(s.path)-1]
	return i, err
}

// lastKeys finds the last value of each key of the object at b[i].
func lastKeys(b []byte, i int) (map[string]int, error) {
	last := map[string]int{}
	if _, err := jsonscan.Value(b, i); err != nil {
		return nil, err
	}
	for i = jsonscan.SkipSpace(b, i+1); b[i] != '}'; {
		next, key, escaped, err := jsonscan.Key(b, i)
		if err != nil {
			return nil, err
		}
		if escaped {
			key = jsonscan.Unquote(nil, key)
		}
		last[string(key)] = next
		if i, err = jsonscan.Value(b, next); err != nil {
			return nil, err
		}
		if i = jsonscan.SkipSpace(b, i); b[i] == ',' {
			i = jsonscan.SkipSpace(b, i+1)
		}
	}
	return last, nil
}

// repeatedKeys reports whether two keys of a map are the same.
func (s *shredder) repeatedKeys(keys []pq.Value, pl *place) bool {
	const few = 8
	text := s.leaves[pl.leaf].kind == pq.ByteArray || s.leaves[pl.leaf].kind == pq.FixedLenByteArray
	if len(keys) <= few {
		for i := range keys {
			for j := range i {
				if text && string(keys[i].ByteArray()) == string(keys[j].ByteArray()) || !text && keys[i].Uint64() == keys[j].Uint64() {
					return true
				}
			}
		}
		return false
	}
	if s.mapKeys == nil {
		s.mapKeys = map[string]struct{}{}
	}
	defer clear(s.mapKeys)
	for i := range keys {
		if text {
			s.mapKeys[string(keys[i].ByteArray())] = struct{}{}
		} else {
			s.mapKeys[strconv.FormatUint(keys[i].Uint64(), 36)] = struct{}{}
		}
		if len(s.mapKeys) <= i {
			return true
		}
	}
	return false
}
