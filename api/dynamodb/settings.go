package dynamodb

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

// maxTags is how many tags a table may have.
const maxTags = 50

// tagsOf adds the tags of a request to others.
func tagsOf(in wire.Value, others map[string]string) (map[string]string, error) {
	tags := maps.Clone(others)
	for t := range in.Items() {
		if tags == nil {
			tags = map[string]string{}
		}
		key := t.Get("Key").Text()
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, invalidParameter("Tag keys must not begin with aws:")
		}
		tags[key] = t.Get("Value").Text()
	}
	if len(tags) > maxTags {
		return nil, wire.Errorf(codeLimit, "Too many tags: a table has at most %d", maxTags)
	}
	return tags, nil
}

// resource returns the table that an ARN names.
func (s *Service) resource(in wire.Value) (leases.Info, error) {
	arn := in.Get("ResourceArn").Text()
	_, name, ok := strings.Cut(arn, tableResource)
	if !ok || !strings.HasPrefix(arn, "arn:") {
		return leases.Info{}, invalidParameter("Invalid TableArn: %s", arn)
	}
	info, err := s.store.Describe(name)
	if errors.Is(err, leases.ErrNotFound) {
		return info, wire.Errorf(codeNotFound, "Requested resource not found: ResourcArn: %s not found", arn)
	}
	return info, err
}

func (s *Service) tagResource(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	info, err := s.resource(r.Input)
	if err != nil {
		return err
	}
	return s.translateNil(s.store.Change(ctx, info.Name, func(d *leases.Definition) error {
		d.Tags, err = tagsOf(r.Input.Get("Tags"), d.Tags)
		return err
	}))
}

func (s *Service) untagResource(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	info, err := s.resource(r.Input)
	if err != nil {
		return err
	}
	return s.translateNil(s.store.Change(ctx, info.Name, func(d *leases.Definition) error {
		for key := range r.Input.Get("TagKeys").Items() {
			delete(d.Tags, key.Text())
		}
		return nil
	}))
}

func (s *Service) translateNil(err error) error {
	if err == nil {
		return nil
	}
	return s.translate(err)
}

func (s *Service) listTagsOfResource(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	info, err := s.resource(r.Input)
	if err != nil {
		return err
	}
	out.BeginObject()
	out.Key("Tags")
	out.BeginList()
	for _, key := range slices.Sorted(maps.Keys(info.Tags)) {
		out.BeginObject()
		out.StringMember("Key", key)
		out.StringMember("Value", info.Tags[key])
		out.EndObject()
	}
	out.EndList()
	out.EndObject()
	return nil
}

func (s *Service) updateContinuousBackups(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	info, err := s.backups(r.Input)
	if err != nil {
		return err
	}
	spec := r.Input.Get("PointInTimeRecoverySpecification")
	err = s.store.Change(ctx, info.Name, func(d *leases.Definition) error {
		switch {
		case !spec.Get("PointInTimeRecoveryEnabled").Bool(false):
			d.RecoveryDays, d.RecoveryFrom = 0, time.Time{}
		case d.RecoveryDays == 0:
			d.RecoveryDays, d.RecoveryFrom = 35, s.clock().Truncate(time.Second).UTC()
		}
		if days := spec.Get("RecoveryPeriodInDays"); days.Present() && d.RecoveryDays > 0 {
			d.RecoveryDays = days.Int(35)
		}
		return nil
	})
	if err != nil {
		return s.translate(err)
	}
	return s.describeContinuousBackups(ctx, r, out)
}

func (s *Service) backups(in wire.Value) (leases.Info, error) {
	info, err := s.describe(in)
	var answer *wire.Error
	if errors.As(err, &answer) && answer.Code == codeNotFound {
		return info, wire.Errorf(codeTableNotFound, "Table not found: %s", in.Get("TableName").Text())
	}
	return info, err
}

// describeContinuousBackups tells the setting. Nothing backs up tables but
// whoever backs up the data directory.
func (s *Service) describeContinuousBackups(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	info, err := s.backups(r.Input)
	if err != nil {
		return err
	}
	out.BeginObject()
	out.Key("ContinuousBackupsDescription")
	out.BeginObject()
	out.StringMember("ContinuousBackupsStatus", "ENABLED")
	out.Key("PointInTimeRecoveryDescription")
	out.BeginObject()
	if info.RecoveryDays == 0 {
		out.StringMember("PointInTimeRecoveryStatus", "DISABLED")
	} else {
		out.StringMember("PointInTimeRecoveryStatus", "ENABLED")
		out.IntMember("RecoveryPeriodInDays", info.RecoveryDays)
		out.TimeMember("EarliestRestorableDateTime", info.RecoveryFrom)
		out.TimeMember("LatestRestorableDateTime", s.clock())
	}
	out.EndObject()
	out.EndObject()
	out.EndObject()
	return nil
}

// updateTimeToLive refuses to let items expire: nothing would remove them.
func (s *Service) updateTimeToLive(_ context.Context, r *wire.Request, _ *wire.Encoder) error {
	if _, err := s.describe(r.Input); err != nil {
		return err
	}
	if r.Input.Get("TimeToLiveSpecification").Get("Enabled").Bool(false) {
		return absent("Expiry of items (TimeToLiveSpecification)")
	}
	return invalid("TimeToLive is already disabled")
}

func (s *Service) describeTimeToLive(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	if _, err := s.describe(r.Input); err != nil {
		return err
	}
	out.BeginObject()
	out.Key("TimeToLiveDescription")
	out.BeginObject()
	out.StringMember("TimeToLiveStatus", "DISABLED")
	out.EndObject()
	out.EndObject()
	return nil
}
