package wal

import (
	"encoding/json"
	"fmt"
)

// encryptedSnapshot is the outside of an encrypted snapshot: what tells which key
// it needs, and all of it, encrypted.
type encryptedSnapshot struct {
	Format    int    `json:"format"`
	Log       string `json:"log"`
	Number    uint64 `json:"number"`
	Key       string `json:"key"`
	Encrypted []byte `json:"encrypted"`
}

// encrypt returns what stands in the file instead of b, if snapshots are
// encrypted, else b.
func (n *snapshot) encrypt(b []byte, keys *keyring) ([]byte, error) {
	id := keys.newFiles()
	if id.none() {
		return b, nil
	}
	k, err := keys.at(inSnapshot(n.Number), id, snapshotName(n.Number))
	if err != nil {
		return nil, err
	}
	b, err = json.Marshal(encryptedSnapshot{n.Format, n.Log, n.Number, id.String(), k.aead.Seal(nil, nil, b, nil)})
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	return append(b, '\n'), nil
}

// open decrypts what is inside of an encrypted snapshot.
func (n *snapshot) open(keys *keyring) (*snapshot, error) {
	id, err := parseKeyID(n.Key)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errContent, err)
	}
	k, err := keys.at(inSnapshot(n.Number), id, "it")
	if err != nil {
		return nil, err
	}
	b, err := k.aead.Open(nil, nil, n.Encrypted, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: encrypted bytes were altered", errContent)
	}
	in := new(snapshot)
	if err := json.Unmarshal(b, in); err != nil {
		return nil, fmt.Errorf("%w: %w", errContent, err)
	}
	if in.Format != n.Format || in.Log != n.Log || in.Number != n.Number {
		return nil, fmt.Errorf("%w: it holds snapshot %d of log %s, format %d", errContent, in.Number, in.Log, in.Format)
	}
	return in, nil
}
