package s3

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/firehosed/firehosed/sinks"
)

// idMetadata is the metadata entry that keeps Object.ID: the header
// x-amz-meta-firehosed-id.
const idMetadata = "firehosed-id"

// maxMetadata is the protocol's limit on the names and values together.
const maxMetadata = 2 << 10

// Put stores one object; see the package for how. The ID of the object must be
// set, and short ASCII.
func (s *Sink) Put(ctx context.Context, o sinks.Object) (sinks.Stored, error) {
	if err := s.ready(ctx); err != nil {
		return sinks.Stored{}, err
	}
	if err := sinks.CheckKey(o.Key); err != nil {
		return sinks.Stored{}, err
	}
	meta, err := metadata(o)
	if err != nil {
		return sinks.Stored{}, err
	}
	u := newUpload(ctx, s, o, meta)
	defer u.end()
	err = o.Write(u)
	if told := u.told(); told != nil {
		err = told // whatever Object.Write made of it, or if it hid it
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return sinks.Stored{}, err
	}
	st, err := u.finish()
	if err == nil {
		s.abortOrphan(ctx)
	}
	return st, err
}

// metadata returns what is kept with the object.
func metadata(o sinks.Object) (map[string]string, error) {
	invalid := func(format string, args ...any) error {
		return &sinks.Error{Class: sinks.Fix, Code: "InvalidMetadata", Err: fmt.Errorf("object %q: "+format, append([]any{o.Key}, args...)...)}
	}
	if o.ID == "" {
		return nil, invalid("has no ID")
	}
	m := map[string]string{}
	for k, v := range o.Metadata {
		m[strings.ToLower(k)] = v
	}
	m[idMetadata] = o.ID
	total := 0
	for k, v := range m {
		total += len(k) + len(v)
		if k == "" || strings.Trim(k, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" {
			return nil, invalid("metadata name %q has characters other than letters, digits, '-', '_' and '.'", k)
		}
		if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) || strings.TrimSpace(v) != v {
			return nil, invalid("metadata entry %q is not plain ASCII: %q", k, v)
		}
	}
	if total > maxMetadata {
		return nil, invalid("metadata has %d bytes; the limit is %d", total, maxMetadata)
	}
	return m, nil
}

// putSingle stores an object that fits in one part.
func (s *Sink) putSingle(ctx context.Context, o sinks.Object, meta map[string]string, body *part) (sinks.Stored, error) {
	in := &s3.PutObjectInput{
		Bucket: &s.opt.Bucket, Key: &o.Key, Body: body, ContentLength: &body.size, Metadata: meta,
		ContentType: optional(o.ContentType), ContentEncoding: optional(o.ContentEncoding),
		StorageClass:         types.StorageClass(s.opt.StorageClass),
		ServerSideEncryption: types.ServerSideEncryption(s.opt.Encryption), SSEKMSKeyId: optional(s.opt.KMSKeyID),
	}
	if s.opt.ContentMD5 {
		in.ContentMD5 = aws.String(body.md5())
	}
	var out *s3.PutObjectOutput
	err := s.conditionally(func(ifNoneMatch *string) (err error) {
		in.IfNoneMatch = ifNoneMatch
		if _, err := body.Seek(0, 0); err != nil {
			return err
		}
		out, err = timed(ctx, s, func(ctx context.Context) (*s3.PutObjectOutput, error) { return s.client.PutObject(ctx, in) })
		return err
	})
	if err == nil {
		return sinks.Stored{Bytes: body.size, ETag: etag(out.ETag)}, nil
	}
	if in.IfNoneMatch != nil && statusOf(err) == 412 {
		return s.existing(ctx, o, body.size)
	}
	return sinks.Stored{}, s.classify(ctx, fmt.Sprintf("store %q", o.Key), err)
}

// conditionally calls send with the value of the header If-None-Match, and once
// more without one if the store answers that it does not know the header.
func (s *Sink) conditionally(send func(ifNoneMatch *string) error) error {
	if s.plain.Load() {
		return send(nil)
	}
	err := send(aws.String("*"))
	if err == nil || s.opt.ConditionalWrites == ConditionalOn || !unknownHeader(err) {
		return err
	}
	without := send(nil)
	if without == nil && s.plain.CompareAndSwap(false, true) {
		s.log.Warn("the store knows no conditional writes; an object that is put twice is written twice", "error", err)
	}
	return without
}

// existing looks at the object that stands under the key of o: nil means that
// it is o.
func (s *Sink) existing(ctx context.Context, o sinks.Object, size int64) (sinks.Stored, error) {
	out, err := timed(ctx, s, func(ctx context.Context) (*s3.HeadObjectOutput, error) {
		return s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.opt.Bucket, Key: &o.Key})
	})
	if statusOf(err) == 404 && ctx.Err() == nil {
		return sinks.Stored{}, &sinks.Error{
			Class: sinks.Retry, Code: "NoSuchKey",
			Err: &failed{fmt.Sprintf("%s: %q, which was there already, was removed since", s, o.Key), err},
		}
	}
	if err != nil {
		return sinks.Stored{}, s.classify(ctx, fmt.Sprintf("see whether %q, which is there already, is ours (needs s3:GetObject)", o.Key), err)
	}
	if id := out.Metadata[idMetadata]; id != o.ID {
		whose := fmt.Sprintf("an object with the id %q", id)
		if id == "" {
			whose = "an object without our id"
		}
		return sinks.Stored{}, &sinks.Error{
			Class: sinks.Fix, Code: "ObjectExists",
			Err: fmt.Errorf("%s: %q holds %s, not %q; it is left alone: move it away, or let the prefixes of deliveries differ", s, o.Key, whose, o.ID),
		}
	}
	stored := aws.ToInt64(out.ContentLength)
	if stored != size {
		// The same plan, encoded by another version of the daemon: every record
		// is in it.
		s.log.Warn("object was there already with another size", "key", o.Key, "id", o.ID, "bytes", stored, "new_bytes", size)
	}
	return sinks.Stored{Bytes: stored, ETag: etag(out.ETag), Existed: true}, nil
}

// timed bounds one request in time.
func timed[T any](ctx context.Context, s *Sink, send func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opt.HTTP.RequestTimeout)
	defer cancel()
	return send(ctx)
}

func optional(v string) *string {
	if v == "" {
		return nil
	}
	return &v
}

func etag(v *string) string { return strings.Trim(aws.ToString(v), `"`) }
