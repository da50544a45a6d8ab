package parquet

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// spool keeps records until they can be encoded: up to limit bytes in memory,
// the rest in a temporary file. Each has its length before it, as an unsigned
// varint. The file is removed by close; one that a crash has left is named
// firehosed-parquet-*.spool and can go.
type spool struct {
	dir   string
	limit int
	mem   []byte // follows what is in the file
	file  *os.File
	n     int
}

func (s *spool) add(record []byte) error {
	s.mem = binary.AppendUvarint(s.mem, uint64(len(record)))
	s.mem = append(s.mem, record...)
	s.n++
	if len(s.mem) < s.limit {
		return nil
	}
	if s.file == nil {
		f, err := os.CreateTemp(s.dir, "firehosed-parquet-*.spool")
		if err != nil {
			return fmt.Errorf("parquet spool: %w", err)
		}
		s.file = f
	}
	if _, err := s.file.Write(s.mem); err != nil {
		return fmt.Errorf("parquet spool: %w", err)
	}
	if cap(s.mem) > 2*s.limit+64<<10 {
		s.mem = nil // one record was large
	}
	s.mem = s.mem[:0]
	return nil
}

// each calls do with every record in order. The slice is valid for the call.
func (s *spool) each(do func([]byte) error) error {
	left := s.n
	if s.file != nil {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("parquet spool: %w", err)
		}
		r := bufio.NewReaderSize(s.file, 256<<10)
		var buf []byte
		for {
			n, err := binary.ReadUvarint(r)
			if errors.Is(err, io.EOF) {
				break
			}
			if err == nil {
				if uint64(cap(buf)) < n {
					buf = make([]byte, n)
				}
				_, err = io.ReadFull(r, buf[:n])
			}
			if err != nil {
				return fmt.Errorf("parquet spool: %w", err)
			}
			if err := do(buf[:n]); err != nil {
				return err
			}
			left--
		}
	}
	for b := s.mem; len(b) > 0; left-- {
		n, w := binary.Uvarint(b)
		b = b[w:]
		if err := do(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	if left != 0 {
		return fmt.Errorf("parquet spool: %d of %d records came back", s.n-left, s.n)
	}
	return nil
}

func (s *spool) close() error {
	s.mem = nil
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
