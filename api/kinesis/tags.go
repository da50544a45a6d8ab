package kinesis

import (
	"context"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/firehosed/firehosed/api/wire"
)

// maxTags is how many tags a stream or a consumer may have.
const maxTags = 50

func (s *Service) addTagsToStream(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	t, err := s.target(r.Input)
	if err != nil {
		return err
	}
	return s.addTags(ctx, resource{target: t}, r.Input)
}

func (s *Service) tagResource(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	res, err := s.resource(r.Input)
	if err != nil {
		return err
	}
	return s.addTags(ctx, res, r.Input)
}

func (s *Service) addTags(ctx context.Context, r resource, in wire.Value) error {
	return s.changeLabels(ctx, r, func(l *labels) error {
		added, err := s.tags(in, l.Tags, r.target)
		l.Tags = added
		return err
	})
}

// tags returns the tags a resource has when those of a request are added to
// what it has.
func (s *Service) tags(in wire.Value, has map[string]string, t target) (map[string]string, error) {
	all := maps.Clone(has)
	for key, value := range in.Get("Tags").Pairs() {
		if all == nil {
			all = map[string]string{}
		}
		if !validTag(key) || !validTag(value.View()) {
			return nil, wire.Errorf(codeArgument, "%s", invalidTag)
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return nil, wire.Errorf(codeArgument, "Failed to add tags to stream %s under account %s because tag keys that begin with aws: are reserved.", t.label, s.account)
		}
		all[key] = value.Text()
	}
	if len(all) > maxTags {
		// The real service kept the number of its earlier limit in this text.
		return nil, wire.Errorf(codeArgument, "Failed to add tags to stream %s under account %s because a given stream cannot have more than 10 tags associated with it.",
			t.label, s.account)
	}
	return all, nil
}

const invalidTag = "Some tags contain invalid characters. Valid characters: Unicode letters, digits, white space, _ . / = + - % @."

// validTag reports whether a key or value of a tag has only characters that
// the real service takes; the colon is among them, though its text is silent
// about it.
func validTag(s string) bool {
	for _, c := range s {
		if !unicode.IsLetter(c) && !unicode.IsDigit(c) && !unicode.IsSpace(c) && !strings.ContainsRune("_./=+-%@:", c) {
			return false
		}
	}
	return true
}

func (s *Service) removeTagsFromStream(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	t, err := s.target(r.Input)
	if err != nil {
		return err
	}
	return s.removeTags(ctx, resource{target: t}, r.Input)
}

func (s *Service) untagResource(ctx context.Context, r *wire.Request, _ *wire.Encoder) error {
	res, err := s.resource(r.Input)
	if err != nil {
		return err
	}
	return s.removeTags(ctx, res, r.Input)
}

// removeTags removes tags by their keys; those that are not there are no error.
func (s *Service) removeTags(ctx context.Context, r resource, in wire.Value) error {
	return s.changeLabels(ctx, r, func(l *labels) error {
		left := maps.Clone(l.Tags)
		for key := range in.Get("TagKeys").Items() {
			if !validTag(key.View()) {
				return wire.Errorf(codeArgument, "%s", invalidTag)
			}
			delete(left, key.View())
		}
		l.Tags = left
		return nil
	})
}

// listTagsForStream lists a page of tags by key, up to 50, from after
// ExclusiveStartTagKey.
func (s *Service) listTagsForStream(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	t, err := s.target(r.Input)
	if err != nil {
		return err
	}
	if _, err := s.describe(t); err != nil {
		return err
	}
	tags := s.attributesOf(t.name).Tags
	keys := slices.Sorted(maps.Keys(tags))
	if after := r.Input.Get("ExclusiveStartTagKey"); after.Present() {
		keys = slices.DeleteFunc(keys, func(key string) bool { return key <= after.View() })
	}
	limit := int(r.Input.Get("Limit").Int(maxTags))
	more := len(keys) > limit
	if more {
		keys = keys[:limit]
	}
	out.BeginObject()
	encodeTags(out, tags, keys)
	out.BoolMember("HasMoreTags", more)
	out.EndObject()
	return nil
}

func (s *Service) listTagsForResource(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	res, err := s.resource(r.Input)
	if err != nil {
		return err
	}
	l, err := s.labels(res)
	if err != nil {
		return err
	}
	out.BeginObject()
	encodeTags(out, l.Tags, slices.Sorted(maps.Keys(l.Tags)))
	out.EndObject()
	return nil
}

func encodeTags(out *wire.Encoder, tags map[string]string, keys []string) {
	out.Key("Tags")
	out.BeginList()
	for _, key := range keys {
		out.BeginObject()
		out.StringMember("Key", key)
		out.StringMember("Value", tags[key])
		out.EndObject()
	}
	out.EndList()
}
