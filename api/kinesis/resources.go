package kinesis

import (
	"context"
	"strings"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
)

// labels are what streams and consumers have alike. They are shared and not
// changed: a change makes new maps.
type labels struct {
	Tags   map[string]string
	Policy string // JSON; empty means none
}

// resource is what a ResourceARN names: a stream, or a consumer of it.
type resource struct {
	target
	consumer bool // the label is its ARN
}

// resource resolves the ResourceARN of a request. Like that of a stream, the
// region and account in it are not looked at.
func (s *Service) resource(in wire.Value) (resource, error) {
	arn := in.Get("ResourceARN").Text()
	_, name, _ := strings.Cut(arn, arnStreamResource)
	name, _, consumer := strings.Cut(name, arnConsumer)
	r := resource{target: target{name: name, label: arn}, consumer: consumer}
	if !consumer && (name == "" || name[0] == '$') {
		return r, s.notFound(r.target)
	}
	return r, nil
}

// labels returns the tags and the policy of a resource.
func (s *Service) labels(r resource) (labels, error) {
	if r.consumer {
		c, _, err := s.consumerByARN(r.label)
		return labels{Tags: c.Tags, Policy: c.Policy}, err
	}
	if _, err := s.describe(r.target); err != nil {
		return labels{}, err
	}
	a := s.attributesOf(r.name)
	return labels{Tags: a.Tags, Policy: a.Policy}, nil
}

// changeLabels changes the tags and the policy of a resource as one step.
// change replaces maps and does not write into them; if it fails nothing is
// kept.
func (s *Service) changeLabels(ctx context.Context, r resource, change func(*labels) error) error {
	if r.consumer {
		return s.changeConsumer(ctx, r.label, func(c *consumer) error {
			l := labels{Tags: c.Tags, Policy: c.Policy}
			if err := change(&l); err != nil {
				return err
			}
			c.Tags, c.Policy = l.Tags, l.Policy
			return nil
		})
	}
	return s.change(ctx, r.target, func(_ streams.StreamInfo, a *attributes) error {
		l := labels{Tags: a.Tags, Policy: a.Policy}
		if err := change(&l); err != nil {
			return err
		}
		a.Tags, a.Policy = l.Tags, l.Policy
		return nil
	})
}
