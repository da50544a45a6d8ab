package main

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/firehosed/firehosed/api/dynamodb"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

// leaseStore returns the service that keeps the leases of consumers, none if
// the configuration turns it off. What it kept before is then left as it is.
func (n *node) leaseStore(ctx context.Context) ([]wire.Service, error) {
	if !n.cfg.API.LeaseStore.Enabled {
		return nil, nil
	}
	store, err := leases.Open(ctx, leases.Options{
		Engine: n.engine, MaxBytes: int64(n.cfg.API.LeaseStore.MaxBytes), Logger: n.log,
	})
	if err != nil {
		return nil, err
	}
	n.leases = store
	s, err := dynamodb.New(dynamodb.Options{Store: store, Region: n.cfg.Region, AccountID: n.cfg.AccountID})
	if err != nil {
		return nil, err
	}
	return []wire.Service{s.Wire()}, nil
}

// leaseMetrics tells how full the lease store is, if there is one.
func (n *node) leaseMetrics() []prometheus.Collector {
	if n.leases == nil {
		return nil
	}
	gauge := func(name, help string, read func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "firehosed_lease_store_" + name, Help: help}, read)
	}
	return []prometheus.Collector{
		gauge("bytes", "Memory that the items of the lease store count for.", func() float64 {
			used, _ := n.leases.Usage()
			return float64(used)
		}),
		gauge("limit_bytes", "Memory that they may count for; beyond, writes are refused.", func() float64 {
			_, limit := n.leases.Usage()
			return float64(limit)
		}),
		gauge("tables", "Tables of the lease store.", func() float64 { return float64(len(n.leases.Names())) }),
	}
}
