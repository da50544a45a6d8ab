package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/firehosed/firehosed/config"
	"github.com/firehosed/firehosed/internal/masterkey"
	"github.com/firehosed/firehosed/streams/wal"
)

// masterKeys reads the keys that the log is encrypted with.
func masterKeys(ctx context.Context, cfg *config.Config, logger *slog.Logger, out output) (keys wal.Keys, err error) {
	read := func(m *config.MasterKey, elem ...any) (*wal.Key, error) {
		path := config.Path(append([]any{"storage", "encryption"}, elem...)...)
		secret, warning, err := masterkey.Source{File: m.File, Env: m.Env, Command: m.Command}.Read(ctx, out.getenv)
		if err != nil {
			return nil, cfg.Problem(path, err)
		}
		if warning != "" {
			logger.Warn("encryption key", "at", path, "warning", warning)
		}
		k, err := wal.NewKey(secret)
		return k, cfg.Problem(path, err)
	}
	e := &cfg.Storage.Encryption
	for i := range e.OldKeys {
		k, err := read(&e.OldKeys[i], "old_keys", i)
		if err != nil {
			return wal.Keys{}, err
		}
		keys.Old = append(keys.Old, k)
	}
	if e.Key != nil {
		keys.Current, err = read(e.Key, "key")
	}
	if err == nil && (keys.Current != nil || len(keys.Old) > 0) {
		logger.Info("encryption", "key", keyID(keys.Current), "old_keys", len(keys.Old))
	}
	return keys, err
}

func keyID(k *wal.Key) string {
	if k == nil {
		return "none: new files are not encrypted"
	}
	return k.ID().String()
}

// keysOf reads the keys of the configuration at path, of none if it is empty:
// for commands that need nothing else of it.
func keysOf(ctx context.Context, path string, out output) (wal.Keys, error) {
	if path == "" {
		return wal.Keys{}, nil
	}
	cfg, err := loadConfig(path, out)
	if err != nil {
		return wal.Keys{}, err
	}
	logger := slog.New(slog.NewTextHandler(out.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	keys, err := masterKeys(ctx, cfg, logger, out)
	if err != nil {
		return keys, fmt.Errorf("keys: %w", err)
	}
	return keys, nil
}
