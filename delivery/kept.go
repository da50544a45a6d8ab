package delivery

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/transform"
)

// Outcomes of a plan whose transforms are not deterministic (a Lambda function,
// a child process) are kept in a file until the plan is done: a second try
// must write what the first one did, or a record could be in neither the
// object of the first nor the error output of the second.
//
// The file is frames of
//
//	length u32 | crc32c u32 of the payload | payload
//
// with the payload of one outcome: shard u32, sequence u64, verdict u8,
// attempts u32, then code, message, step and data, each behind a u32 length.
// All numbers are big-endian. The file gets its name when it is complete and
// synced.

const keptFrameMax = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (s *Stream) keptFile(planID string) string {
	return filepath.Join(s.workDir, "outcomes-"+planID)
}

// keepOutcomes runs the transforms over the plan, unless a file tells what
// they said.
func (s *Stream) keepOutcomes(ctx context.Context, p *plan) (err error) {
	name := s.keptFile(p.ID)
	if _, err := os.Stat(name); err == nil {
		return nil
	}
	f, err := os.Create(name + ".tmp")
	if err != nil {
		return fmt.Errorf("outcomes of transforms: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 64<<10)
	err = s.walk(ctx, p, p.start(), func(r planRange, records []streams.Record) error {
		out, err := s.transform(ctx, r, records)
		if err != nil {
			return err
		}
		for i := range out {
			if _, err := w.Write(encodeKept(&out[i])); err != nil {
				return fmt.Errorf("outcomes of transforms: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := errors.Join(w.Flush(), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("outcomes of transforms: %w", err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("outcomes of transforms: %w", err)
	}
	return syncDir(s.workDir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("work directory: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeKept removes the outcomes of every plan but one.
func (s *Stream) removeKept(but string) error {
	entries, err := os.ReadDir(s.workDir)
	if err != nil {
		return fmt.Errorf("work directory: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		if !strings.HasPrefix(name, "outcomes-") || (but != "" && name == "outcomes-"+but) {
			continue
		}
		if err := os.Remove(filepath.Join(s.workDir, name)); err != nil {
			return fmt.Errorf("work directory: %w", err)
		}
	}
	return nil
}

func encodeKept(o *outcome) []byte {
	b := make([]byte, 8, 64+len(o.Record.Data)+len(o.Message))
	b = binary.BigEndian.AppendUint32(b, uint32(o.shard.Shard))
	b = binary.BigEndian.AppendUint64(b, uint64(o.source.Sequence))
	b = append(b, byte(o.Verdict))
	b = binary.BigEndian.AppendUint32(b, uint32(o.Attempts))
	for _, s := range []string{o.Code, o.Message, o.Step} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(o.Record.Data)))
	b = append(b, o.Record.Data...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-8))
	binary.BigEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli))
	return b
}

// keptOutcomes reads the file in its order, which is that of the plan.
type keptOutcomes struct {
	name string
	f    io.Closer
	r    *bufio.Reader
}

func openKept(name string) (*keptOutcomes, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("outcomes of transforms: %w", err)
	}
	return &keptOutcomes{name: name, f: f, r: bufio.NewReaderSize(f, 64<<10)}, nil
}

func (k *keptOutcomes) close() { _ = k.f.Close() } // was only read

// find returns the outcome of a record; those before it are passed over.
func (k *keptOutcomes) find(shard streams.ShardID, seq streams.Sequence) (transform.Outcome, error) {
	for {
		gotShard, gotSeq, o, err := decodeKept(k.r)
		if err != nil {
			return transform.Outcome{}, fmt.Errorf("%s: outcome of %s record %d: %w (remove the file to run the transforms again)", k.name, shard, seq, err)
		}
		if gotShard == shard && gotSeq == seq {
			return o, nil
		}
	}
}

func decodeKept(r io.Reader) (shard streams.ShardID, seq streams.Sequence, o transform.Outcome, err error) {
	var head [8]byte
	if _, err = io.ReadFull(r, head[:]); err != nil {
		return 0, 0, o, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > keptFrameMax {
		return 0, 0, o, fmt.Errorf("frame of %d bytes is larger than %d", n, keptFrameMax)
	}
	var payload bytes.Buffer
	if _, err = io.CopyN(&payload, r, int64(n)); err != nil {
		return 0, 0, o, err
	}
	b := payload.Bytes()
	if crc32.Checksum(b, castagnoli) != binary.BigEndian.Uint32(head[4:]) {
		return 0, 0, o, errors.New("checksum does not match")
	}
	short := errors.New("frame is too short")
	if len(b) < 17 {
		return 0, 0, o, short
	}
	shard = streams.ShardID(binary.BigEndian.Uint32(b))
	seq = streams.Sequence(binary.BigEndian.Uint64(b[4:]))
	o.Verdict = transform.Verdict(b[12])
	o.Attempts = int(binary.BigEndian.Uint32(b[13:]))
	b = b[17:]
	var fields [4][]byte
	for i := range fields {
		if len(b) < 4 {
			return 0, 0, o, short
		}
		n := binary.BigEndian.Uint32(b)
		if uint64(n) > uint64(len(b)-4) {
			return 0, 0, o, short
		}
		fields[i], b = b[4:4+n], b[4+n:]
	}
	if len(b) != 0 || o.Verdict > transform.Failed {
		return 0, 0, o, errors.New("frame is malformed")
	}
	o.Code, o.Message, o.Step, o.Record.Data = string(fields[0]), string(fields[1]), string(fields[2]), fields[3]
	return shard, seq, o, nil
}
