package main

import (
	"context"

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
	s, err := dynamodb.New(dynamodb.Options{Store: store, Region: n.cfg.Region, AccountID: n.cfg.AccountID})
	if err != nil {
		return nil, err
	}
	return []wire.Service{s.Wire()}, nil
}
