package s3

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/firehosed/firehosed/sinks"
)

const (
	// concurrency is the number of parts of one object that are sent at once.
	concurrency = 2
	// grace is how long a Put that failed lets parts that are on their way
	// arrive: one that is cut off may appear at the store after the abort, and
	// bring the upload back.
	grace = time.Second
	// abortTimeout bounds the request that clears away an upload; it runs even
	// when the Put was canceled.
	abortTimeout = 20 * time.Second
	maxOrphans   = 256
)

// upload is the writer of one Put. It begins a multipart upload when the first
// part is full and more comes.
type upload struct {
	s    *Sink
	o    sinks.Object
	meta map[string]string
	put  context.Context //nolint:containedctx // That of the Put.
	ctx  context.Context //nolint:containedctx // That of the parts; outlives put by the grace.
	stop context.CancelFunc

	part   *part // being filled
	number int32 // of the part being filled, from 1
	size   int64 // of all parts that were full
	id     string
	slots  chan struct{} // one for each part being sent
	wg     sync.WaitGroup
	seen   error // what Write returned
	done   bool  // completed: nothing to abort

	broken chan struct{} // closed when err is set
	mu     sync.Mutex
	parts  []types.CompletedPart
	err    error // of the first part that failed
}

func newUpload(ctx context.Context, s *Sink, o sinks.Object, meta map[string]string) *upload {
	u := &upload{s: s, o: o, meta: meta, put: ctx, number: 1, slots: make(chan struct{}, concurrency), broken: make(chan struct{})}
	u.ctx, u.stop = context.WithCancel(context.WithoutCancel(ctx))
	u.part = u.newPart()
	return u
}

func (u *upload) newPart() *part {
	return &part{pool: &u.s.chunks, limit: u.s.opt.PartBytes}
}

// Write implements io.Writer for Object.Write. After an error it returns the
// same one forever.
func (u *upload) Write(p []byte) (n int, err error) {
	for len(p) > 0 && u.seen == nil {
		if u.seen = u.failed(); u.seen != nil {
			break
		}
		if u.part.full() {
			u.seen = u.send()
			continue
		}
		m := u.part.fill(p)
		n, p = n+m, p[m:]
	}
	return n, u.seen
}

// told returns what Write had to say, if it was an error.
func (u *upload) told() error { return u.seen }

func (u *upload) failed() error {
	if err := u.put.Err(); err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func (u *upload) what() string { return fmt.Sprintf("store %q", u.o.Key) }

// send hands the part that was filled to a goroutine and begins the next one.
func (u *upload) send() error {
	if u.number > u.s.maxParts {
		return &sinks.Error{
			Class: sinks.Fix, Code: "TooManyParts",
			Err: fmt.Errorf("%s: %q has more than %d parts of %d bytes; raise the part size or let buffers close earlier",
				u.s, u.o.Key, u.s.maxParts, u.s.opt.PartBytes),
		}
	}
	if u.id == "" {
		if err := u.create(); err != nil {
			return err
		}
	}
	select {
	case u.slots <- struct{}{}:
	case <-u.broken:
		return u.failed()
	case <-u.put.Done():
		return u.put.Err()
	}
	b, number := u.part, u.number
	u.size += b.size
	u.number++
	u.part = u.newPart()
	u.wg.Go(func() {
		defer func() { <-u.slots }()
		defer b.release()
		if err := u.sendPart(b, number); err != nil {
			u.mu.Lock()
			if u.err == nil {
				u.err = err
				close(u.broken)
			}
			u.mu.Unlock()
		}
	})
	return nil
}

func (u *upload) create() error {
	s := u.s
	out, err := timed(u.put, s, func(ctx context.Context) (*s3.CreateMultipartUploadOutput, error) {
		return s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: &s.opt.Bucket, Key: &u.o.Key, Metadata: u.meta,
			ContentType: optional(u.o.ContentType), ContentEncoding: optional(u.o.ContentEncoding),
			StorageClass:         types.StorageClass(s.opt.StorageClass),
			ServerSideEncryption: types.ServerSideEncryption(s.opt.Encryption), SSEKMSKeyId: optional(s.opt.KMSKeyID),
		})
	})
	if err != nil {
		return s.classify(u.put, u.what(), err)
	}
	if u.id = aws.ToString(out.UploadId); u.id == "" {
		return &sinks.Error{Class: sinks.Retry, Code: "InvalidResponse", Err: fmt.Errorf("%s: %q: the store gave no upload id", s, u.o.Key)}
	}
	return nil
}

func (u *upload) sendPart(b *part, number int32) error {
	s := u.s
	in := &s3.UploadPartInput{
		Bucket: &s.opt.Bucket, Key: &u.o.Key, UploadId: &u.id, PartNumber: &number, Body: b, ContentLength: &b.size,
	}
	if s.opt.ContentMD5 {
		in.ContentMD5 = aws.String(b.md5())
	}
	out, err := timed(u.ctx, s, func(ctx context.Context) (*s3.UploadPartOutput, error) { return s.client.UploadPart(ctx, in) })
	if err != nil {
		return s.classify(u.put, fmt.Sprintf("%s, part %d", u.what(), number), err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.parts = append(u.parts, types.CompletedPart{ETag: out.ETag, PartNumber: &number})
	return nil
}

// finish stores what is left and makes the object appear.
func (u *upload) finish() (sinks.Stored, error) {
	if u.id == "" {
		return u.s.putSingle(u.put, u.o, u.meta, u.part)
	}
	if err := u.send(); err != nil {
		return sinks.Stored{}, err
	}
	select {
	case <-u.arrived():
	case <-u.broken:
	case <-u.put.Done():
	}
	if err := u.failed(); err != nil {
		return sinks.Stored{}, err
	}
	slices.SortFunc(u.parts, func(a, b types.CompletedPart) int { return int(*a.PartNumber - *b.PartNumber) })
	return u.complete()
}

func (u *upload) complete() (sinks.Stored, error) {
	s := u.s
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &s.opt.Bucket, Key: &u.o.Key, UploadId: &u.id,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: u.parts},
	}
	var out *s3.CompleteMultipartUploadOutput
	err := s.conditionally(func(ifNoneMatch *string) (err error) {
		in.IfNoneMatch = ifNoneMatch
		out, err = timed(u.put, s, func(ctx context.Context) (*s3.CompleteMultipartUploadOutput, error) {
			return s.client.CompleteMultipartUpload(ctx, in)
		})
		return err
	})
	if err == nil {
		u.done = true
		return sinks.Stored{Bytes: u.size, ETag: etag(out.ETag)}, nil
	}
	cerr := s.classify(u.put, u.what(), err)
	if u.put.Err() != nil {
		return sinks.Stored{}, cerr
	}
	if in.IfNoneMatch != nil && statusOf(err) == 412 {
		return s.existing(u.put, u.o, u.size)
	}
	if ambiguous(err) {
		// The object may be there, and only the answer was lost. Whose it is
		// its id tells.
		if st, herr := s.existing(u.put, u.o, u.size); herr == nil && st.Bytes == u.size {
			u.done = true
			return st, nil
		}
	}
	return sinks.Stored{}, cerr
}

// arrived returns a channel that is closed when no part is on its way. No part
// may be sent after the call.
func (u *upload) arrived() <-chan struct{} {
	done := make(chan struct{})
	go func() { // ends with the parts, at the latest after stop
		u.wg.Wait()
		close(done)
	}()
	return done
}

// end waits for what still runs, and clears away what a failed Put left at the
// store.
func (u *upload) end() {
	cut := false
	if !u.done {
		arrived, timer := u.arrived(), time.NewTimer(grace)
		select {
		case <-arrived:
		case <-timer.C:
			cut = true
		}
		timer.Stop()
	}
	u.stop()
	u.wg.Wait()
	u.part.release()
	if u.id != "" && !u.done {
		u.s.abort(context.WithoutCancel(u.put), orphan{key: u.o.Key, id: u.id, again: cut})
	}
}

// orphan is an upload that nobody will complete. Its parts cost money until it
// is aborted. again means that a part may still arrive after the abort, which
// is done a second time later then, as Amazon advises.
type orphan struct {
	key, id string
	again   bool
}

// abort ends an upload. If the store cannot be reached, the upload is kept in
// mind for abortOrphan.
func (s *Sink) abort(ctx context.Context, o orphan) {
	ctx, cancel := context.WithTimeout(ctx, abortTimeout)
	defer cancel()
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: &s.opt.Bucket, Key: &o.key, UploadId: &o.id})
	gone := err == nil || statusOf(err) == 404
	if gone && !o.again {
		return
	}
	o.again = false
	s.mu.Lock()
	kept := len(s.orphans) < maxOrphans
	if kept {
		s.orphans = append(s.orphans, o)
	}
	s.mu.Unlock()
	if !gone {
		s.log.Warn("unfinished upload not aborted", "key", o.key, "upload_id", o.id, "tried_again", kept, "error", err)
	}
}

// abortOrphan aborts one upload whose abort did not succeed or is due again. It is called
// when the store is known to answer.
func (s *Sink) abortOrphan(ctx context.Context) {
	s.mu.Lock()
	if len(s.orphans) == 0 {
		s.mu.Unlock()
		return
	}
	o := s.orphans[0]
	s.orphans = slices.Delete(s.orphans, 0, 1)
	s.mu.Unlock()
	s.abort(ctx, o)
}
