package main

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"

	"github.com/firehosed/firehosed/config"
	"github.com/firehosed/firehosed/internal/certs"
	"github.com/firehosed/firehosed/sinks"
)

// planned is everything a configuration asks for, made and not running.
type planned struct {
	names      []string
	deliveries map[string]*built
	pair       *certs.Pair // of the port, nil without TLS
}

// planAll makes the parts of every delivery stream and returns all problems
// with their places.
func planAll(ctx context.Context, cfg *config.Config, logger *slog.Logger) (*planned, error) {
	p := &planned{names: slices.Sorted(maps.Keys(cfg.DeliveryStreams)), deliveries: map[string]*built{}}
	var problems []error
	var err error
	if p.pair, err = serverPair(cfg, logger); err != nil {
		problems = append(problems, err)
	}
	for _, name := range p.names {
		d := cfg.DeliveryStreams[name]
		b := &builder{
			ctx: ctx, logger: logger, name: name, region: cfg.Region,
			arn: deliveryStreamARN(cfg, name),
			problem: func(err error, elem ...any) {
				problems = append(problems, cfg.Problem(config.Path(append([]any{"delivery_streams", name}, elem...)...), err))
			},
		}
		if d.Source.Stream != nil {
			b.sourceARN = "arn:aws:kinesis:" + cfg.Region + ":" + cfg.AccountID + ":stream/" + d.Source.Stream.Name
		}
		p.deliveries[name] = b.build(d)
	}
	if err := config.Join(problems...); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func deliveryStreamARN(cfg *config.Config, name string) string {
	return "arn:aws:firehose:" + cfg.Region + ":" + cfg.AccountID + ":deliverystream/" + name
}

func (p *planned) close() {
	for _, d := range p.deliveries {
		_ = d.close() // nothing was started
	}
}

// checkLive asks every destination whether it is there.
func (p *planned) checkLive(ctx context.Context, cfg *config.Config) error {
	var problems []error
	ask := func(sink sinks.Sink, elem ...any) {
		if err := sink.Check(ctx); err != nil {
			problems = append(problems, cfg.Problem(config.Path(elem...), errors.Join(err)))
		}
	}
	for _, name := range p.names {
		opt := p.deliveries[name].opt
		if opt.Objects != nil {
			ask(opt.Objects.Sink, "delivery_streams", name, "destination")
		} else {
			ask(opt.Documents.Sink, "delivery_streams", name, "destination")
		}
		ask(opt.Errors.Sink, "delivery_streams", name, "errors")
		if opt.Backup != nil {
			ask(opt.Backup.Sink, "delivery_streams", name, "backup")
		}
	}
	return config.Join(problems...)
}
