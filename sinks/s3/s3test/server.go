// Package s3test is a small, strict S3 server for tests, in memory and in
// process.
//
// It knows what a writer of objects uses: PutObject, multipart uploads,
// If-None-Match, HEAD, GET, DELETE and ListObjectsV2, path style. It checks
// what real stores check: the signature (version 4, with the signed hash of the
// body), Content-MD5, the least part size, the order and the ETags of parts.
// Faults can be injected at every request. It is no store for anything but
// tests, and what it was not asked to learn it answers with 501.
package s3test

import (
	"bytes"
	"crypto/md5" //nolint:gosec // The protocol's checksum.
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Credentials that the server takes.
const (
	AccessKeyID     = "AKIDS3TEST"
	SecretAccessKey = "s3test/secret+key"
	Region          = "us-east-1"
)

// Op is one request, as a fault sees it.
type Op struct {
	Name   string // of the S3 API: "PutObject", "UploadPart", ...
	Bucket string
	Key    string
	Part   int
	N      int // counts the requests of this Name from 1
	Header http.Header
}

// Fault is what goes wrong with a request. The zero value lets it pass.
type Fault struct {
	// Status and Code make an error answer; nothing is done then.
	Status  int
	Code    string
	Message string
	Header  http.Header // of the error answer
	// Body replaces the XML of the error answer if not nil.
	Body []byte
	// Reset breaks the connection: before anything is done, or, with Stored,
	// after the request was carried out and instead of the answer.
	Reset, Stored bool
	// Wait holds the request up until the channel is closed, or the client
	// goes away.
	Wait <-chan struct{}
}

// Object is one stored object.
type Object struct {
	Data     []byte
	ETag     string // without quotes
	Metadata map[string]string
	Header   http.Header // Content-Type, Content-Encoding, x-amz-storage-class, ...
	Writes   int         // how often it was written
}

type upload struct {
	bucket, key string
	header      http.Header
	parts       map[int]Object
}

// Server is a running server. Its methods may be called concurrently.
type Server struct {
	URL string
	// MinPartBytes is the least size of all parts but the last: 5 MiB.
	MinPartBytes int
	// Conditional says whether If-None-Match is known; if not, the header is
	// answered with 501, as some stores do.
	Conditional bool

	http *httptest.Server

	mu      sync.Mutex
	fault   func(Op) Fault
	buckets map[string]map[string]Object
	uploads map[string]*upload
	counts  map[string]int
	nextID  int
}

// New starts a server with the given empty buckets.
func New(buckets ...string) *Server {
	s := &Server{
		MinPartBytes: 5 << 20, Conditional: true,
		buckets: map[string]map[string]Object{}, uploads: map[string]*upload{}, counts: map[string]int{},
	}
	for _, b := range buckets {
		s.buckets[b] = map[string]Object{}
	}
	s.http = httptest.NewServer(http.HandlerFunc(s.serve))
	s.URL = s.http.URL
	return s
}

// Close stops the server, and with it all connections.
func (s *Server) Close() {
	s.http.CloseClientConnections()
	s.http.Close()
}

// SetFault makes f decide about each request that follows; nil ends it.
func (s *Server) SetFault(f func(Op) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// AddBucket makes an empty bucket, RemoveBucket removes one with all in it.
func (s *Server) AddBucket(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buckets[name] = map[string]Object{}
}

// RemoveBucket removes a bucket and its objects.
func (s *Server) RemoveBucket(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.buckets, name)
}

// Object returns an object.
func (s *Server) Object(bucket, key string) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.buckets[bucket][key]
	return o, ok
}

// Keys returns the keys of a bucket in order.
func (s *Server) Keys(bucket string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for k := range s.buckets[bucket] {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// Uploads returns the keys of unfinished multipart uploads.
func (s *Server) Uploads() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for _, u := range s.uploads {
		keys = append(keys, u.key)
	}
	slices.Sort(keys)
	return keys
}

// Count returns how many requests of an operation came, with those that met a
// fault.
func (s *Server) Count(op string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[op]
}

// apiError is an error answer.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// maxBody bounds the body of a request.
const maxBody = 1 << 30

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	op, query := describe(r)
	s.mu.Lock()
	s.counts[op.Name]++
	op.N = s.counts[op.Name]
	fault := s.fault
	s.mu.Unlock()
	var f Fault
	if fault != nil {
		f = fault(op)
	}
	if f.Reset && !f.Stored {
		reset(w)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // the client went away
	}
	if f.Wait != nil {
		select {
		case <-f.Wait:
		case <-r.Context().Done():
			return
		}
	}
	if f.Status != 0 {
		for k, v := range f.Header {
			w.Header()[k] = v
		}
		writeError(w, r, &apiError{f.Status, f.Code, f.Message}, f.Body)
		return
	}
	answer := httptest.NewRecorder()
	if err := s.handle(answer, r, op, query, body); err != nil {
		var e *apiError
		if !errors.As(err, &e) {
			e = &apiError{500, "InternalError", err.Error()}
		}
		answer = httptest.NewRecorder()
		writeError(answer, r, e, nil)
	}
	if f.Reset {
		reset(w)
		return
	}
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // the client may have gone away
}

// reset breaks the connection so that the client sees a reset.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0) // the close below sends a RST then
	}
	_ = conn.Close()
}

func describe(r *http.Request) (Op, url.Values) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	op := Op{Bucket: bucket, Key: key, Header: r.Header}
	op.Part, _ = strconv.Atoi(q.Get("partNumber"))
	switch {
	case key == "" && r.Method == http.MethodHead:
		op.Name = "HeadBucket"
	case key == "" && r.Method == http.MethodGet && q.Get("list-type") == "2":
		op.Name = "ListObjectsV2"
	case key == "":
		op.Name = "Unknown"
	case r.Method == http.MethodPost && q.Has("uploads"):
		op.Name = "CreateMultipartUpload"
	case r.Method == http.MethodPut && q.Has("uploadId"):
		op.Name = "UploadPart"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		op.Name = "CompleteMultipartUpload"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		op.Name = "AbortMultipartUpload"
	case r.Method == http.MethodPut:
		op.Name = "PutObject"
	case r.Method == http.MethodHead:
		op.Name = "HeadObject"
	case r.Method == http.MethodGet:
		op.Name = "GetObject"
	case r.Method == http.MethodDelete:
		op.Name = "DeleteObject"
	default:
		op.Name = "Unknown"
	}
	return op, q
}

func (s *Server) handle(w http.ResponseWriter, r *http.Request, op Op, q url.Values, body []byte) error {
	if err := verify(r, body); err != nil {
		return err
	}
	if r.Method == http.MethodPut && r.ContentLength < 0 {
		return &apiError{411, "MissingContentLength", "You must provide the Content-Length HTTP header."}
	}
	if sum := r.Header.Get("Content-MD5"); sum != "" {
		if got := md5.Sum(body); base64.StdEncoding.EncodeToString(got[:]) != sum { //nolint:gosec // See the import.
			return &apiError{400, "BadDigest", "The Content-MD5 you specified did not match what we received."}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	objects, ok := s.buckets[op.Bucket]
	if !ok {
		return &apiError{404, "NoSuchBucket", "The specified bucket does not exist"}
	}
	switch op.Name {
	case "HeadBucket":
		w.Header().Set("X-Amz-Bucket-Region", Region)
		return nil
	case "ListObjectsV2":
		return s.list(w, op.Bucket, q)
	case "PutObject":
		if err := s.absent(r, op); err != nil {
			return err
		}
		o := newObject(r.Header, body, hexMD5(body))
		s.store(op.Bucket, op.Key, o)
		w.Header().Set("ETag", quote(o.ETag))
		return nil
	case "CreateMultipartUpload":
		s.nextID++
		id := fmt.Sprintf("upload-%d", s.nextID)
		s.uploads[id] = &upload{bucket: op.Bucket, key: op.Key, header: r.Header.Clone(), parts: map[int]Object{}}
		return writeXML(w, struct {
			XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
			Bucket   string
			Key      string
			UploadID string `xml:"UploadId"`
		}{Bucket: op.Bucket, Key: op.Key, UploadID: id})
	case "GetObject", "HeadObject":
		o, ok := objects[op.Key]
		if !ok {
			return &apiError{404, "NoSuchKey", "The specified key does not exist."}
		}
		for k, v := range o.Header {
			w.Header()[k] = v
		}
		w.Header().Set("ETag", quote(o.ETag))
		w.Header().Set("Content-Length", strconv.Itoa(len(o.Data)))
		if op.Name == "GetObject" {
			_, err := w.Write(o.Data)
			return err
		}
		return nil
	case "DeleteObject":
		delete(objects, op.Key)
		w.WriteHeader(http.StatusNoContent)
		return nil
	case "UploadPart", "CompleteMultipartUpload", "AbortMultipartUpload":
		id := q.Get("uploadId")
		u, ok := s.uploads[id]
		if !ok || u.bucket != op.Bucket || u.key != op.Key {
			return &apiError{404, "NoSuchUpload", "The specified upload does not exist."}
		}
		return s.multipart(w, r, op, id, u, body)
	default:
		return &apiError{501, "NotImplemented", "s3test does not know this request"}
	}
}

// absent carries out If-None-Match.
func (s *Server) absent(r *http.Request, op Op) error {
	v := r.Header.Get("If-None-Match")
	if v == "" {
		return nil
	}
	if !s.Conditional || v != "*" {
		return &apiError{501, "NotImplemented", "A header you provided implies functionality that is not implemented"}
	}
	if _, ok := s.buckets[op.Bucket][op.Key]; ok {
		return &apiError{412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"}
	}
	return nil
}

func (s *Server) multipart(w http.ResponseWriter, r *http.Request, op Op, id string, u *upload, body []byte) error {
	switch op.Name {
	case "UploadPart":
		if op.Part < 1 || op.Part > 10_000 {
			return &apiError{400, "InvalidArgument", "Part number must be an integer between 1 and 10000, inclusive"}
		}
		tag := hexMD5(body)
		u.parts[op.Part] = Object{Data: body, ETag: tag}
		w.Header().Set("ETag", quote(tag))
		return nil
	case "AbortMultipartUpload":
		delete(s.uploads, id)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	var list struct {
		Part []struct {
			ETag       string
			PartNumber int
		}
	}
	if err := xml.Unmarshal(body, &list); err != nil || len(list.Part) == 0 {
		return &apiError{400, "MalformedXML", "The XML you provided was not well-formed"}
	}
	if err := s.absent(r, op); err != nil {
		return err
	}
	var data, tags []byte
	for i, p := range list.Part {
		if i > 0 && p.PartNumber <= list.Part[i-1].PartNumber {
			return &apiError{400, "InvalidPartOrder", "The list of parts was not in ascending order."}
		}
		part, ok := u.parts[p.PartNumber]
		if !ok || part.ETag != strings.Trim(p.ETag, `"`) {
			return &apiError{400, "InvalidPart", "One or more of the specified parts could not be found."}
		}
		if i < len(list.Part)-1 && len(part.Data) < s.MinPartBytes {
			return &apiError{400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size"}
		}
		data = append(data, part.Data...)
		sum, _ := hex.DecodeString(part.ETag) // ours
		tags = append(tags, sum...)
	}
	o := newObject(u.header, data, fmt.Sprintf("%s-%d", hexMD5(tags), len(list.Part)))
	s.store(op.Bucket, op.Key, o)
	delete(s.uploads, id)
	return writeXML(w, struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		Bucket  string
		Key     string
		ETag    string
	}{Bucket: op.Bucket, Key: op.Key, ETag: quote(o.ETag)})
}

func (s *Server) store(bucket, key string, o Object) {
	o.Writes = s.buckets[bucket][key].Writes + 1
	s.buckets[bucket][key] = o
}

func (s *Server) list(w http.ResponseWriter, bucket string, q url.Values) error {
	type entry struct {
		Key  string
		ETag string
		Size int
	}
	var result struct {
		XMLName               xml.Name `xml:"ListBucketResult"`
		Name                  string
		Prefix                string
		KeyCount              int
		IsTruncated           bool
		NextContinuationToken string `xml:",omitempty"`
		Contents              []entry
	}
	most := 1000
	if n, err := strconv.Atoi(q.Get("max-keys")); err == nil && n < most {
		most = n
	}
	result.Name, result.Prefix = bucket, q.Get("prefix")
	var keys []string
	for k := range s.buckets[bucket] {
		if strings.HasPrefix(k, result.Prefix) && k > q.Get("continuation-token") && k > q.Get("start-after") {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	if result.IsTruncated = len(keys) > most; result.IsTruncated {
		keys = keys[:most]
		result.NextContinuationToken = keys[most-1]
	}
	for _, k := range keys {
		o := s.buckets[bucket][k]
		result.Contents = append(result.Contents, entry{k, quote(o.ETag), len(o.Data)})
	}
	result.KeyCount = len(keys)
	return writeXML(w, result)
}

func newObject(h http.Header, data []byte, tag string) Object {
	o := Object{Data: data, ETag: tag, Metadata: map[string]string{}, Header: http.Header{}}
	for k, v := range h {
		name, isMeta := strings.CutPrefix(strings.ToLower(k), "x-amz-meta-")
		switch {
		case isMeta:
			o.Metadata[name] = v[0]
			o.Header[k] = v
		case slices.Contains([]string{"Content-Type", "Content-Encoding", "X-Amz-Storage-Class", "X-Amz-Server-Side-Encryption"}, k):
			o.Header[k] = v
		}
	}
	return o
}

func hexMD5(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // See the import.
	return hex.EncodeToString(sum[:])
}

func quote(tag string) string { return `"` + tag + `"` }

func writeXML(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/xml")
	var b bytes.Buffer
	b.WriteString(xml.Header)
	if err := xml.NewEncoder(&b).Encode(v); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

func writeError(w http.ResponseWriter, r *http.Request, e *apiError, body []byte) {
	w.Header().Set("X-Amz-Request-Id", "S3TEST"+strconv.FormatInt(time.Now().UnixNano(), 36))
	if body == nil {
		body = fmt.Appendf(nil, "%s<Error><Code>%s</Code><Message>%s</Message></Error>", xml.Header, e.code, e.message)
		w.Header().Set("Content-Type", "application/xml")
	}
	w.WriteHeader(e.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client may have gone away
	}
}
