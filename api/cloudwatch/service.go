package cloudwatch

import (
	"context"

	"github.com/firehosed/firehosed/api/wire"
)

// maxBodyBytes is what the real service takes in one request.
const maxBodyBytes = 1 << 20

// Service is the part of CloudWatch that is there.
type Service struct{ metrics *Metrics }

// New returns a service that adds what it gets to metrics.
func New(metrics *Metrics) *Service { return &Service{metrics} }

// Wire returns the table of the service. Every operation but PutMetricData is
// unknown in it.
func (s *Service) Wire() wire.Service {
	return wire.Service{
		Target:      "GraniteServiceVersion20100801",
		SigningName: "monitoring",
		JSON10:      true,
		RPC:         true,
		Query: &wire.Query{
			Version:   "2010-08-01",
			Namespace: "http://monitoring.amazonaws.com/doc/2010-08-01/",
			Codes:     map[string]string{codeMissing: "MissingParameter"},
		},
		Compressed:   true,
		MaxBodyBytes: maxBodyBytes,
		Operations:   []wire.Operation{{Name: "PutMetricData", Input: putMetricData, Handle: s.putMetricData}},
	}
}

// The shapes say only what type a member has: the service has its own words for
// what is wrong with a value, see check.
var (
	metricData = wire.List(wire.Structure(
		wire.Optional("MetricName", wire.String()),
		wire.Optional("Dimensions", wire.List(wire.Structure(
			wire.Optional("Name", wire.String()),
			wire.Optional("Value", wire.String()),
		))),
		wire.Optional("Timestamp", wire.Timestamp()),
		wire.Optional("Value", wire.Double()),
		wire.Optional("StatisticValues", wire.Structure(
			wire.Optional("SampleCount", wire.Double()),
			wire.Optional("Sum", wire.Double()),
			wire.Optional("Minimum", wire.Double()),
			wire.Optional("Maximum", wire.Double()),
		)),
		wire.Optional("Values", wire.List(wire.Double())),
		wire.Optional("Counts", wire.List(wire.Double())),
		wire.Optional("Unit", wire.String()),
		wire.Optional("StorageResolution", wire.Integer()),
	))
	attributes    = wire.Map(wire.String(), wire.String())
	putMetricData = wire.Structure(
		wire.Optional("Namespace", wire.String()),
		wire.Optional("MetricData", metricData),
		wire.Optional("EntityMetricData", wire.List(wire.Structure(
			wire.Optional("Entity", wire.Structure(
				wire.Optional("KeyAttributes", attributes),
				wire.Optional("Attributes", attributes),
			)),
			wire.Optional("MetricData", metricData),
		))),
		wire.Optional("StrictEntityValidation", wire.Boolean()),
	)
)

// putMetricData checks all data and then adds all of them. Entities are not
// looked at.
func (s *Service) putMetricData(_ context.Context, r *wire.Request, _ *wire.Encoder) error {
	c := check{now: s.metrics.opt.Clock()}
	namespace := r.Input.Get("Namespace")
	c.namespace(namespace)
	data := c.request(r.Input)
	if err := c.err(); err != nil {
		return err
	}
	for i := range data {
		s.metrics.add(namespace.View(), &data[i])
	}
	return nil
}
