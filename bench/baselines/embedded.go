package main

import (
	"encoding/binary"
	"path/filepath"

	"github.com/hashicorp/raft"
	wal "github.com/hashicorp/raft-wal"
	bolt "go.etcd.io/bbolt"

	"github.com/firehosed/firehosed/bench/internal/turns"
)

// openRaftWAL stores a group by one StoreLogs, which syncs once.
func openRaftWAL(dir string) (turns.Store, error) {
	w, err := wal.Open(dir)
	if err != nil {
		return nil, err
	}
	data := turns.NewData()
	next, err := w.LastIndex()
	if err != nil {
		return nil, err
	}
	var logs []*raft.Log
	return startGroups(func(records []int) error {
		logs = logs[:0]
		for _, n := range records {
			next++
			logs = append(logs, &raft.Log{Index: next, Term: 1, Data: data.Record(n)})
		}
		return w.StoreLogs(logs)
	}, w.Close), nil
}

var bucket = []byte("records")

// openBbolt stores a group by one transaction, under rising keys.
func openBbolt(dir string) (turns.Store, error) {
	db, err := bolt.Open(filepath.Join(dir, "bolt.db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	data := turns.NewData()
	return startGroups(func(records []int) error {
		return db.Update(func(tx *bolt.Tx) error {
			b, err := tx.CreateBucketIfNotExists(bucket)
			if err != nil {
				return err
			}
			b.FillPercent = 0.95 // keys only rise
			for _, n := range records {
				next, err := b.NextSequence()
				if err != nil {
					return err
				}
				if err := b.Put(binary.BigEndian.AppendUint64(nil, next), data.Record(n)); err != nil {
					return err
				}
			}
			return nil
		})
	}, db.Close), nil
}
