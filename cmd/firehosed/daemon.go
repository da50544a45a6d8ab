package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/cloudwatch"
	"github.com/firehosed/firehosed/api/firehose"
	"github.com/firehosed/firehosed/api/kinesis"
	"github.com/firehosed/firehosed/api/sts"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/buffer"
	"github.com/firehosed/firehosed/config"
	"github.com/firehosed/firehosed/delivery"
	"github.com/firehosed/firehosed/internal/certs"
	"github.com/firehosed/firehosed/internal/vfs"
	"github.com/firehosed/firehosed/leases"
	"github.com/firehosed/firehosed/sources/file"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/limits"
	"github.com/firehosed/firehosed/streams/wal"
)

// node is a running daemon: opened first to last in start, closed last to
// first in runDaemon.
type node struct {
	cfg    *config.Config
	log    *slog.Logger
	engine *wal.Log
	budget *buffer.Budget

	deliveries *delivery.Set
	registry   *registry
	sources    map[string]*file.Source
	requests   *requestMetrics
	kinesis    *kinesis.Service
	clients    *cloudwatch.Metrics
	leases     *leases.Store // nil if the configuration turns it off
	limits     *limits.Limiter
	pair       *certs.Pair // of the port, nil without TLS

	failed   chan error // the first end of a part that must not end
	failOnce sync.Once

	mu       sync.Mutex
	stopping bool
}

// fail ends the daemon.
func (n *node) fail(err error) {
	n.failOnce.Do(func() { n.failed <- err })
}

// runDaemon runs until ctx ends or a part fails, and ends cleanly within the
// grace period: no more requests, what is being written is finished, the log
// closes last.
func runDaemon(ctx context.Context, cfg *config.Config, plan *planned, keys wal.Keys, logger *slog.Logger) (err error) {
	defer plan.close()
	n := &node{cfg: cfg, log: logger, failed: make(chan error, 1), sources: map[string]*file.Source{}, requests: newRequestMetrics(), pair: plan.pair}
	if n.clients, err = cloudwatch.NewMetrics(cloudwatch.Options{Clock: time.Now}); err != nil {
		return err
	}
	n.limits = limits.New(limits.Options{
		Rates:    n.rates,
		Describe: func(stream string) (streams.StreamInfo, error) { return n.engine.Describe(stream) },
	})
	n.engine, err = wal.Open(filepath.Join(cfg.DataDir, "log"), n.walOptions(keys))
	if err != nil {
		return fmt.Errorf("data directory %s: %w", cfg.DataDir, err)
	}
	defer func() {
		if cerr := n.engine.Close(); cerr != nil {
			err = errors.Join(err, fmt.Errorf("close log: %w", cerr))
		}
	}()
	if err := n.declare(ctx); err != nil {
		return err
	}
	if err := n.assemble(ctx, plan); err != nil {
		return err
	}
	defer n.registry.close()
	handler, err := n.handler(ctx)
	if err != nil {
		return err
	}
	return n.serve(ctx, handler)
}

func (n *node) walOptions(keys wal.Keys) wal.Options {
	onDamage := wal.FailOnDamage
	if n.cfg.Storage.OnDamage == "skip" {
		onDamage = wal.SkipDamage
	}
	compression := wal.NoCompression
	if n.cfg.Storage.Compression == "zstd" {
		compression = wal.Zstd
	}
	return wal.Options{
		Compression: compression, ScrubBytesPerSecond: int64(n.cfg.Storage.Scrub), OnDamage: onDamage,
		Logger: n.log, Keys: keys, SegmentBytes: int64(n.cfg.Storage.SegmentSize), JournalBytes: int64(n.cfg.Storage.JournalSize),
		MinFreeBytes: int64(n.cfg.Storage.MinFree), BallastBytes: int64(n.cfg.Storage.Ballast), TailBytes: int64(n.cfg.Memory.Log),
		CacheBytes: int64(n.cfg.Storage.PageCache), OnIdle: new(spare).giveBack,
		SyncInterval: time.Duration(n.cfg.Storage.SyncInterval),
	}
}

// rates returns the limits of the shards of a stream.
func (n *node) rates(stream string) limits.Rates {
	l := &n.cfg.API.Limits
	if s := n.cfg.Streams[stream]; s != nil {
		l = &s.Limits
	}
	return limits.Rates{
		InBytes: int64(l.InBytes), InRecords: int64(l.InRecords), OutBytes: int64(l.OutBytes), OutCalls: int64(l.OutCalls),
	}
}

// declare brings the streams of the file into being. What the file declares is
// owned by it: the retention follows the file, the number of shards is that of
// the beginning.
func (n *node) declare(ctx context.Context) error {
	for name, s := range n.cfg.Streams {
		if err := n.ensureStream(ctx, name, s.Shards, time.Duration(s.Retention)); err != nil {
			return err
		}
		if err := n.ensureBound(ctx, name, int64(s.RetentionBytes)); err != nil {
			return err
		}
		if err := n.ensureDurability(ctx, name, s.Durability); err != nil {
			return err
		}
	}
	for _, s := range n.engine.List() {
		if n.cfg.Streams[s.Name] != nil {
			continue
		}
		if err := n.ensureDurability(ctx, s.Name, n.cfg.API.Durability); err != nil {
			return err
		}
	}
	for name, d := range n.cfg.DeliveryStreams {
		retention := time.Duration(0)
		durability := string(streams.Fsync) // lines ride with their offsets, which are always synced
		switch {
		case d.Source.DirectPut != nil:
			retention, durability = time.Duration(d.Source.DirectPut.Retention), d.Source.DirectPut.Durability
		case d.Source.File != nil:
			retention = time.Duration(d.Source.File.Retention)
		default:
			continue
		}
		if err := n.ensureStream(ctx, ownStream(name), 1, retention); err != nil {
			return err
		}
		if err := n.ensureDurability(ctx, ownStream(name), durability); err != nil {
			return err
		}
	}
	return nil
}

func (n *node) ensureStream(ctx context.Context, name string, shards int, retention time.Duration) error {
	info, err := n.engine.Describe(name)
	switch {
	case errors.Is(err, streams.ErrNotFound):
		if _, err := n.engine.Create(ctx, streams.StreamSpec{Name: name, Shards: shards, Retention: retention}); err != nil {
			return fmt.Errorf("stream %s: %w", name, err)
		}
		n.log.Info("stream created", "stream", name, "shards", shards, "retention", retention)
		return nil
	case err != nil:
		return fmt.Errorf("stream %s: %w", name, err)
	}
	// The stream of a delivery stream may be held for longer, see delivery.
	if info.Retention == retention || info.Internal() && info.Retention > retention {
		return nil
	}
	if err := n.engine.Configure(ctx, name, retention); err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	n.log.Info("retention changed", "stream", name, "retention", retention)
	return nil
}

func (n *node) ensureBound(ctx context.Context, name string, bytes int64) error {
	info, err := n.engine.Describe(name)
	if err == nil && info.RetentionBytes != bytes {
		err = n.engine.Bound(ctx, name, bytes)
		n.log.Info("bound of the stored bytes changed", "stream", name, "bytes", bytes)
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	return nil
}

func (n *node) ensureDurability(ctx context.Context, name, durability string) error {
	info, err := n.engine.Describe(name)
	if d := streams.Durability(durability); err == nil && info.Durability != d {
		if err = n.engine.SetDurability(ctx, name, d); err == nil {
			n.log.Info("durability changed", "stream", name, "durability", durability)
		}
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	return nil
}

// assemble gives the planned parts the log and makes those that calls to the
// API made earlier.
func (n *node) assemble(ctx context.Context, plan *planned) error {
	n.budget = buffer.NewBudget(int64(n.cfg.Memory.Buffers))
	n.deliveries = delivery.NewSet(n.fail)
	n.registry = newRegistry(n)
	for _, name := range plan.names {
		b := plan.deliveries[name]
		if err := n.addDelivery(b); err != nil {
			return err
		}
		if b.file == nil {
			continue
		}
		b.file.Stream, b.file.Log = b.opt.Source, n.engine
		src, err := file.New(*b.file)
		if err != nil {
			return err
		}
		n.sources[name] = src
	}
	return n.registry.load(ctx)
}

func (n *node) addDelivery(b *built) error {
	b.opt.Log = n.engine
	b.opt.Budget = n.budget
	b.opt.WorkDir = filepath.Join(n.cfg.DataDir, "work")
	b.opt.Grace = n.grace()
	st, err := delivery.New(b.opt)
	if err != nil {
		return err
	}
	return n.deliveries.Add(st)
}

// grace is what a write under way may take after a stop, which leaves time to
// close the log.
func (n *node) grace() time.Duration {
	return time.Duration(n.cfg.ShutdownGrace) * 8 / 10
}

// tokenKey returns the key that seals shard iterators, made once and kept in
// the log's state so that iterators survive a restart.
func (n *node) tokenKey(ctx context.Context) ([]byte, error) {
	const key = "api/token-key"
	if k := n.engine.State(key); len(k) == kinesis.MinTokenKeyBytes {
		return k, nil
	}
	k := make([]byte, kinesis.MinTokenKeyBytes)
	_, _ = rand.Read(k) // never fails
	_, err := n.engine.Append(ctx, "", &streams.Batch{State: []streams.StateUpdate{{Key: key, Value: k}}})
	if err != nil {
		return nil, fmt.Errorf("key of shard iterators: %w", err)
	}
	return k, nil
}

// handler puts the APIs, health and metrics on one port.
func (n *node) handler(ctx context.Context) (http.Handler, error) {
	key, err := n.tokenKey(ctx)
	if err != nil {
		return nil, err
	}
	k, err := kinesis.New(kinesis.Options{
		Engine: n.engine, Region: n.cfg.Region, AccountID: n.cfg.AccountID, TokenKey: key, Logger: n.log,
		Durability: streams.Durability(n.cfg.API.Durability),
		Declared:   func(stream string) bool { return n.cfg.Streams[stream] != nil },
		Limits:     n.limits,
	})
	if err != nil {
		return nil, err
	}
	n.kinesis = k
	f, err := firehose.New(firehose.Options{
		Streams: n.registry, Region: n.cfg.Region, AccountID: n.cfg.AccountID, Logger: n.log,
	})
	if err != nil {
		return nil, err
	}
	verifier, err := n.verifier()
	if err != nil {
		return nil, err
	}
	leaseStore, err := n.leaseStore(ctx)
	if err != nil {
		return nil, err
	}
	h, err := wire.NewHandler(wire.Options{
		Services: append([]wire.Service{
			k.Wire(), f.Wire(),
			cloudwatch.New(n.clients).Wire(), sts.New(n.cfg.AccountID).Wire(),
		}, leaseStore...),
		Access:       verifier,
		MaxBodyBytes: int64(n.cfg.HTTP.MaxBody), MaxBytesInFlight: max(48<<20, 2*int64(n.cfg.HTTP.MaxBody)),
		Logger: n.log, Observe: n.requests.observe,
	})
	if err != nil {
		return nil, err
	}
	return n.admin(h)
}

func (n *node) verifier() (access.Verifier, error) {
	if n.cfg.HTTP.Auth != "sigv4" {
		return access.Anyone{}, nil
	}
	keys := make([]access.Key, len(n.cfg.HTTP.Keys))
	for i, k := range n.cfg.HTTP.Keys {
		keys[i] = access.Key{
			ID: k.AccessKey, Secret: k.SecretKey.Reveal(), SessionToken: k.SessionToken.Reveal(),
			Name: k.Name, Account: k.Account, Region: k.Region,
		}
		if k.Account == "" {
			keys[i].Account = n.cfg.AccountID
		}
	}
	v, err := access.NewSigV4(access.SigV4Options{Keys: keys, Hosts: n.cfg.HTTP.Hosts})
	if err != nil {
		return nil, fmt.Errorf("http.keys: %w", err)
	}
	return v, nil
}

// serve runs everything until ctx ends or a part fails.
func (n *node) serve(ctx context.Context, handler http.Handler) error {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", n.cfg.HTTP.Listen)
	if err != nil {
		return fmt.Errorf("http.listen: %w", err)
	}
	accepted, handler := n.secure(netutil.LimitListener(listener, n.maxConnections()), handler)
	server := wire.NewServer(handler, n.log)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var g errgroup.Group
	part := func(run func(context.Context) error) {
		g.Go(func() error {
			err := run(ctx)
			if err != nil {
				cancel(err)
			}
			return err
		})
	}
	part(n.deliveries.Run)
	for _, src := range n.sources {
		part(src.Run)
	}
	part(n.watchEngine)
	part(n.kinesis.Run)
	g.Go(func() error {
		err := server.Serve(accepted)
		if !errors.Is(err, http.ErrServerClosed) {
			cancel(err)
			return fmt.Errorf("http: %w", err)
		}
		return nil
	})
	n.log.Info("ready", "address", listener.Addr().String(), "version", version,
		"streams", len(n.engine.List()), "delivery_streams", len(n.deliveries.All()))
	notify(n.log, daemon.SdNotifyReady)
	debug.FreeOSMemory() // what only the start needed
	if err := forgetInit(); err != nil {
		n.log.Debug("memory of the start is kept", "error", err)
	}

	<-ctx.Done()
	n.mu.Lock()
	n.stopping = true
	n.mu.Unlock()
	notify(n.log, daemon.SdNotifyStopping)
	n.log.Info("stopping", "reason", context.Cause(ctx).Error(), "grace", time.Duration(n.cfg.ShutdownGrace))
	stop, done := context.WithTimeout(context.WithoutCancel(ctx), n.grace())
	defer done()
	n.kinesis.EndSubscriptions() // the one kind of response that would not end by itself
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close() // the requests that are left are cut off, unacknowledged
	}
	err = g.Wait()
	n.log.Info("stopped")
	return err
}

// maxConnections is how many connections are open at once: at most half of what
// the process may open, so that files are left for the log.
func (n *node) maxConnections() int {
	most := n.cfg.HTTP.MaxConnections
	if limit := vfs.OpenFileLimit(); limit > 0 && most > limit/2 {
		most = limit / 2
		n.log.Warn("http: fewer connections than max_connections, for the limit of open files", "connections", most, "max_connections", n.cfg.HTTP.MaxConnections, "open_files", limit)
	}
	return most
}

// watchEngine ends the daemon when the log or a delivery stream can do no more.
func (n *node) watchEngine(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-n.failed:
		return err
	case <-n.engine.Failed():
		return fmt.Errorf("log: %w", n.engine.Err())
	}
}

func notify(logger *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		logger.Warn("systemd was not told", "state", state, "error", err)
	}
}
