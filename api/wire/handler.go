package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/firehosed/firehosed/access"
)

// Defaults of Options.
const (
	DefaultMaxBodyBytes     = 16 << 20
	DefaultMaxBytesInFlight = 64 << 20
	DefaultBodyTimeout      = 10 * time.Second
	DefaultMinBytesPerSec   = 64 << 10
	DefaultEventTimeout     = 2 * time.Minute
)

// inFlightWait is how long a request waits for room before it is sent away;
// short of every client's own timeout.
const inFlightWait = 2 * time.Second

// Options of a Handler.
type Options struct {
	// Services are the tables to serve. At least one.
	Services []Service
	// Access says who may call. Required; access.Anyone lets everybody in.
	Access access.Verifier
	// MaxBodyBytes is the largest body taken, in bytes; 0 means 16 MiB.
	MaxBodyBytes int64
	// MaxBytesInFlight bounds the bytes of all bodies and large responses in
	// memory at one time; 0 means 64 MiB. It must be at least MaxBodyBytes.
	MaxBytesInFlight int64
	// BodyTimeout is the time a body has before a rate is asked of it, and the
	// time a client has to take a small response; 0 means 10 s.
	BodyTimeout time.Duration
	// MinBytesPerSec is the rate, in bytes per second, below which the transfer
	// of a body is given up after BodyTimeout; 0 means 64 KiB.
	MinBytesPerSec int64
	// EventTimeout is the time, besides that of a body, that a client may leave its
	// event stream unread, before it is given up within half as much again; 0
	// means 2 minutes. A client that
	// works on what it has may hold its stream up for a while, but one that is gone
	// without a word must not hold memory for ever.
	EventTimeout time.Duration
	// Logger gets failures of this side (error), overload (warn) and every
	// request (debug); nil discards. Contents of requests are never logged.
	Logger *slog.Logger
	// Observe, if not nil, is called at the end of every request, concurrently.
	Observe func(Event)
}

// Event describes one finished request, for metrics. Service and Operation are
// from the tables, or empty: they never hold what a client made up.
type Event struct {
	Service   string
	Operation string
	Code      string // of the error, empty for success
	Status    int
	BytesIn   int64
	BytesOut  int64
	Duration  time.Duration
}

// Handler serves the operations of services.
type Handler struct {
	services map[string]*service
	queries  map[string]*service // of awsQuery, by version
	opt      Options
	log      *slog.Logger
	flight   *flight
	scratch  sync.Pool
	frames   sync.Pool // of *eventFrame
}

// service is a Service with its operations by name.
type service struct {
	Service
	operations map[string]*Operation
}

var _ http.Handler = (*Handler)(nil)

// NewHandler returns a handler for the given services.
func NewHandler(opt Options) (*Handler, error) {
	if len(opt.Services) == 0 {
		return nil, errors.New("no services to serve")
	}
	if opt.Access == nil {
		return nil, errors.New("no access verifier")
	}
	defaultTo(&opt.MaxBodyBytes, DefaultMaxBodyBytes)
	defaultTo(&opt.MaxBytesInFlight, DefaultMaxBytesInFlight)
	defaultTo(&opt.MinBytesPerSec, DefaultMinBytesPerSec)
	defaultTo(&opt.BodyTimeout, DefaultBodyTimeout)
	defaultTo(&opt.EventTimeout, DefaultEventTimeout)
	if opt.MaxBytesInFlight < opt.MaxBodyBytes {
		return nil, fmt.Errorf("bytes in flight: %d are less than one body of %d", opt.MaxBytesInFlight, opt.MaxBodyBytes)
	}
	h := &Handler{
		services: make(map[string]*service, len(opt.Services)),
		queries:  map[string]*service{},
		opt:      opt,
		log:      opt.Logger,
		flight:   newFlight(opt.MaxBytesInFlight),
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.scratch.New = func() any { return new(scratch) }
	h.frames.New = func() any { return new(eventFrame) }
	for i := range opt.Services {
		s := &service{Service: opt.Services[i], operations: map[string]*Operation{}}
		if err := s.validate(); err != nil {
			return nil, err
		}
		if _, ok := h.services[s.Target]; ok {
			return nil, fmt.Errorf("service %s is there twice", s.Target)
		}
		for j := range s.Operations {
			s.operations[s.Operations[j].Name] = &s.Operations[j]
		}
		if s.Query != nil {
			if _, ok := h.queries[s.Query.Version]; ok {
				return nil, fmt.Errorf("version %s of awsQuery is there twice", s.Query.Version)
			}
			h.queries[s.Query.Version] = s
		}
		if !s.QueryOnly {
			h.services[s.Target] = s
		}
	}
	return h, nil
}

func defaultTo[T int64 | time.Duration](v *T, def T) {
	if *v <= 0 {
		*v = def
	}
}

// scratch is the memory of one request, used again by later ones.
type scratch struct {
	body     []byte
	inflated []byte // the body without its compression; XML before it is sent
	form     form
	doc      document
	out      []byte
}

// Buffers larger than these are left to the garbage collector.
const (
	keepBytes = 2 << 20
	keepNodes = 16 << 10
)

func (h *Handler) recycle(s *scratch) {
	if cap(s.body) > keepBytes {
		s.body = nil
	}
	if cap(s.inflated) > keepBytes {
		s.inflated = nil
	}
	if cap(s.form.buf) > keepBytes || cap(s.form.fields) > keepNodes {
		s.form = form{}
	}
	if cap(s.out) > keepBytes {
		s.out = nil
	}
	if cap(s.doc.nodes) > keepNodes {
		s.doc.nodes = nil
	}
	s.doc.src = nil
	h.scratch.Put(s)
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{
		h: h, w: w, r: r, scratch: h.scratch.Get().(*scratch),
		control: http.NewResponseController(w),
		id:      newRequestID(),
		share:   share{flight: h.flight},
	}
	defer x.share.release()
	x.serve()
	x.event.Duration = time.Since(start)
	if x.scratch != nil {
		h.recycle(x.scratch)
	}
	if h.opt.Observe != nil {
		h.opt.Observe(x.event)
	}
	if h.log.Enabled(r.Context(), slog.LevelDebug) {
		h.log.Debug("request", "id", x.id, "service", x.event.Service, "operation", x.event.Operation,
			"caller", x.caller, "status", x.event.Status, "code", x.event.Code, "in", x.event.BytesIn, "out", x.event.BytesOut)
	}
}

// exchange is one request on its way to a response. Its methods follow the
// order of checks of the real service.
type exchange struct {
	h       *Handler
	w       http.ResponseWriter
	r       *http.Request
	scratch *scratch // nil while events are streamed
	control *http.ResponseController
	id      string
	share   share
	service *service // once it is known
	event   Event
	caller  string // its name, once it is known
}

func (x *exchange) serve() {
	// 1. The body, within its limits of size and time.
	body, refusal := x.readBody()
	x.headers()
	if refusal != nil {
		if x.r.ProtoMajor == 1 {
			x.w.Header().Set("Connection", "close")
		}
		x.fail(x.bodyFormat(), refusal)
		return
	}
	x.event.BytesIn = int64(len(body))

	// 2. A browser asking whether it may ask. 3. Anything but POST.
	if x.crossOrigin() {
		return
	}
	if x.r.Method != http.MethodPost && !x.isQuery() {
		x.raw(http.StatusForbidden, accessDeniedXML)
		return
	}

	// 4.-7. What is asked of whom, and in which encoding.
	svc, op, format, ok := x.identify(body)
	if !ok {
		return
	}

	answer := format
	if op.Stream != nil {
		answer = JSON // also for a client that asks in CBOR
	}

	// 8., 9. Who asks. The signature covers the body as it was sent, so this
	// comes before anything is decoded in place.
	caller, err := x.h.opt.Access.Verify(x.r, body, svc.SigningName)
	if err != nil {
		var refused *access.Error
		if errors.As(err, &refused) {
			x.fail(answer, Errorf(refused.Code, "%s", refused.Message))
		} else {
			x.fail(answer, Internal(err))
		}
		return
	}

	x.caller = caller.Name

	// 10. Types. 11. Constraints.
	doc := &x.scratch.doc
	if refusal := x.fit(op.Input, format); refusal != nil {
		x.fail(answer, refusal)
		return
	}
	waived, refusal := doc.check(op.Input, svc.HideValues)
	if refusal != nil {
		x.fail(answer, refusal)
		return
	}

	// 12. What it means.
	req := &Request{
		Service: svc.Target, Operation: op.Name, ID: x.id, Caller: caller,
		Input: Value{doc, 0}, share: &x.share,
	}
	if waived {
		req.complete = func() error { return doc.checkComplete(op.Input, svc.HideValues) }
	}
	if op.Stream != nil {
		x.stream(op, req)
		return
	}
	out := NewEncoder(format, x.scratch.out[:0])
	err = x.call(op, req, out)
	x.scratch.out = out.buf
	if err != nil {
		x.fail(answer, asError(err))
		return
	}
	switch format {
	case rpc:
		x.answerRPC(http.StatusOK, out.buf)
	case query:
		x.answerQuery(svc, op, out.buf)
	default:
		x.respond(http.StatusOK, format.ContentType(), out.buf)
	}
}

// fit makes the input a document of the right types.
func (x *exchange) fit(input *Shape, format Format) *Error {
	if format == query {
		return x.scratch.form.build(&x.scratch.doc, input)
	}
	return x.scratch.doc.fit(input, format)
}

// call runs the operation. A panic in it is this side's failure and ends the
// request only.
func (x *exchange) call(op *Operation, req *Request, out *Encoder) (err error) {
	defer x.recovered(op, &err)
	return op.Handle(x.r.Context(), req, out)
}

// identify finds the operation by the rules of the protocol and reads the body
// as far as that can be done before its signature is checked. If it cannot, it
// answers and returns false.
func (x *exchange) identify(body []byte) (*service, *Operation, Format, bool) {
	switch {
	case x.isRPC():
		svc, op, ok := x.routeRPC(body)
		return svc, op, rpc, ok
	case x.isQuery():
		svc, op, ok := x.routeQuery(body)
		return svc, op, query, ok
	}
	return x.route(body)
}

// route finds the operation by X-Amz-Target and parses the body. If it cannot,
// it answers and returns false.
func (x *exchange) route(body []byte) (*service, *Operation, Format, bool) {
	target, name, _ := strings.Cut(x.r.Header.Get("X-Amz-Target"), ".")
	svc := x.h.services[target]
	var op *Operation
	if svc != nil {
		op = svc.operations[name]
		x.event.Service = svc.Target
		x.service = svc
	}
	if op != nil {
		x.event.Operation = op.Name
	}
	media := mediaType(x.r)
	format := JSON
	if svc != nil && svc.JSON10 {
		format = JSON10
	}
	plain := format.ContentType()
	if media != plain && media != "application/json" {
		format = CBOR
	}

	if len(body) == 0 {
		if media != plain {
			format = CBOR
		}
		if op == nil {
			x.fail(format, Errorf(CodeUnknownOperation, ""))
		} else {
			x.fail(format, serialization(""))
		}
		return nil, nil, 0, false
	}
	if media == CBOR.ContentType() && svc != nil && !svc.CBOR ||
		media != CBOR.ContentType() && media != plain && media != "application/json" {
		if target == "" || name == "" {
			x.raw(http.StatusForbidden, accessDeniedXML)
		} else {
			x.raw(http.StatusNotFound, unknownOperationXML)
		}
		return nil, nil, 0, false
	}

	if refusal := x.parse(body, format); refusal != nil {
		if media == "application/json" {
			x.legacy(http.StatusBadRequest, CodeSerialization)
		} else {
			x.fail(format, refusal)
		}
		return nil, nil, 0, false
	}
	if media == "application/json" {
		x.legacy(http.StatusNotFound, CodeUnknownOperation)
		return nil, nil, 0, false
	}
	if op == nil {
		x.fail(format, Errorf(CodeUnknownOperation, ""))
		return nil, nil, 0, false
	}
	return svc, op, format, true
}

// parse reads the body into the document. The real service gives no message
// for a body it cannot read; ours says what is wrong, which no client minds.
func (x *exchange) parse(body []byte, format Format) *Error {
	if x.service != nil {
		var refusal *Error
		if body, refusal = x.content(body); refusal != nil {
			return refusal
		}
	}
	doc := &x.scratch.doc
	var err error
	if format.binary() {
		err = doc.parseCBOR(body)
	} else {
		err = doc.parseJSON(body)
	}
	if err != nil {
		return serialization(err.Error())
	}
	if doc.nodes[0].kind != nodeObject {
		return serialization("The body is not an object.")
	}
	return nil
}

func mediaType(r *http.Request) string {
	media, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(media)
}

// bodyFormat is the format for an answer before the body was looked at.
func (x *exchange) bodyFormat() Format {
	switch {
	case x.isRPC():
		return rpc
	case x.isQuery():
		return query
	}
	switch mediaType(x.r) {
	case CBOR.ContentType():
		return CBOR
	case JSON10.ContentType():
		return JSON10
	}
	return JSON
}

// fail answers with an error.
func (x *exchange) fail(format Format, e *Error) {
	status := e.status()
	x.event.Code = e.Code
	switch {
	case errors.Is(e.Cause, context.Canceled) && x.r.Context().Err() != nil:
		// The client left; nobody reads the answer and nothing is wrong here.
		x.event.Code = CodeClientGone
	case status == http.StatusInternalServerError:
		x.h.log.Error("request failed", "id", x.id, "service", x.event.Service, "operation", x.event.Operation, "error", e)
	case status >= http.StatusInternalServerError:
		x.h.log.Warn("request refused for now", "id", x.id, "service", x.event.Service, "operation", x.event.Operation, "error", e)
	}
	if format == query {
		x.failQuery(e)
		return
	}
	out := NewEncoder(format, x.scratch.out[:0])
	out.BeginObject()
	code := e.Code
	if x.service != nil && x.service.ErrorType != nil {
		code = x.service.ErrorType(code)
	}
	out.StringMember("__type", code)
	switch {
	case e.Message != "" && e.capital && format != rpc:
		out.StringMember("Message", e.Message)
	case e.Message != "":
		out.StringMember("message", e.Message)
	}
	if e.More != nil {
		e.More(out)
	}
	out.EndObject()
	x.scratch.out = out.buf
	x.queryError(e)
	if format == rpc {
		x.answerRPC(status, out.buf)
		return
	}
	x.respond(status, format.ContentType(), out.buf)
}
