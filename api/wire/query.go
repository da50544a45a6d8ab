package wire

import (
	"net/http"
	"strings"
)

// Query is how a service speaks the awsQuery protocol: a form or a query string
// of Action, Version and flattened members, answered in XML.
type Query struct {
	// Version is the value of Version that leads to the service.
	Version string
	// Namespace is the xmlns of answers.
	Namespace string
	// Codes are the codes of errors that have other names in this protocol than
	// in the others. Common errors need no entry.
	Codes map[string]string
}

const (
	formType = "application/x-www-form-urlencoded"
	xmlType  = "text/xml"
)

// commonQueryCodes are the names in awsQuery of errors that any service has.
// Codes that are not here lose "Exception" at their end.
var commonQueryCodes = map[string]string{
	CodeSerialization:               "MalformedInput",
	CodeValidation:                  "ValidationError",
	CodeUnknownOperation:            "InvalidAction",
	"InvalidSignatureException":     "SignatureDoesNotMatch",
	"UnrecognizedClientException":   "InvalidClientTokenId",
	"UnsupportedMediaTypeException": "MalformedInput",
}

// forbidden are the codes with status 403 in awsQuery; the other protocols say
// 400.
var forbidden = map[string]bool{
	"MissingAuthenticationToken": true, "SignatureDoesNotMatch": true, "InvalidClientTokenId": true,
	"ExpiredToken": true, "AccessDenied": true,
}

// queryCode is the name of an error in awsQuery.
func (s *service) queryCode(code string) string {
	if s != nil && s.Query != nil {
		if c, ok := s.Query.Codes[code]; ok {
			return c
		}
	}
	if c, ok := commonQueryCodes[code]; ok {
		return c
	}
	return strings.TrimSuffix(code, "Exception")
}

// queryFault is who is at fault, as awsQuery says it.
func queryFault(status int) string {
	if status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

// isQuery reports whether a request is of the awsQuery protocol. One with a
// target is of another.
func (x *exchange) isQuery() bool {
	if len(x.h.queries) == 0 || x.r.Header.Get("X-Amz-Target") != "" {
		return false
	}
	switch x.r.Method {
	case http.MethodGet:
		return x.r.URL.Query().Get("Action") != ""
	case http.MethodPost:
		media := mediaType(x.r)
		return media == formType && x.r.ContentLength != 0 ||
			(media == formType || media == "") && x.r.URL.RawQuery != "" && x.r.URL.Query().Get("Action") != ""
	}
	return false
}

// routeQuery finds the operation of a form or query string. If it cannot, it
// answers and returns false.
func (x *exchange) routeQuery(body []byte) (*service, *Operation, bool) {
	body, refusal := x.unpack(body)
	if refusal != nil {
		x.fail(query, refusal)
		return nil, nil, false
	}
	f := &x.scratch.form
	f.reset()
	if !x.share.grow(x.r.Context(), x.share.held+int64(len(body)+len(x.r.URL.RawQuery))) {
		x.fail(query, Unavailable("Slow down."))
		return nil, nil, false
	}
	err := f.read([]byte(x.r.URL.RawQuery))
	if err == nil && mediaType(x.r) == formType {
		err = f.read(body)
	}
	action, version := string(f.get("Action")), string(f.get("Version"))
	svc := x.h.queries[version]
	if svc == nil {
		svc = x.h.querySigner(x.r)
	}
	if svc == nil {
		// Nobody here knows this version: the same answer as for any request
		// that names no service.
		x.raw(http.StatusForbidden, accessDeniedXML)
		return nil, nil, false
	}
	x.service, x.event.Service = svc, svc.Target
	op := svc.operations[action]
	switch {
	case err != nil:
		refusal = serialization(err.Error())
	case action == "":
		refusal = Errorf("MissingAction", "The request has no parameter Action.")
	case op == nil || version != svc.Query.Version:
		refusal = Errorf(CodeUnknownOperation, "Could not find operation %s for version %s", quote([]byte(action)), quote([]byte(version)))
	case isPacked(x.r) && !svc.Compressed:
		refusal = serialization("The service takes no compressed requests.")
	default:
		refusal = svc.fits(x.event.BytesIn)
	}
	if op != nil {
		x.event.Operation = op.Name
	}
	if refusal != nil {
		x.fail(query, refusal)
		return nil, nil, false
	}
	return svc, op, true
}

// querySigner returns the service of awsQuery that a request is signed for, nil
// if there is none.
func (h *Handler) querySigner(r *http.Request) *service {
	credential := r.URL.Query().Get("X-Amz-Credential")
	if _, after, ok := strings.Cut(r.Header.Get("Authorization"), "Credential="); ok {
		credential, _, _ = strings.Cut(after, ",")
	}
	scope := strings.Split(strings.TrimSpace(credential), "/")
	if len(scope) != 5 {
		return nil
	}
	for _, s := range h.queries {
		if s.SigningName == scope[3] {
			return s
		}
	}
	return nil
}

// answerQuery sends what an operation wrote as XML.
func (x *exchange) answerQuery(svc *service, op *Operation, output []byte) {
	b := x.scratch.inflated[:0]
	b = append(b, '<')
	b = append(b, op.Name...)
	b = append(b, `Response xmlns="`...)
	b = append(b, svc.Query.Namespace...)
	b = append(b, "\">\n"...)
	if len(output) > 0 {
		doc := &x.scratch.doc
		if err := doc.parseJSON(output); err != nil {
			x.fail(query, Internal(err))
			return
		}
		b = openElement(b, op.Name+"Result", 1)
		b = append(b, '\n')
		b = doc.appendXML(b, 0, 2)
		b = closeElement(b, op.Name+"Result", 1)
	}
	b = openElement(b, "ResponseMetadata", 1)
	b = append(b, '\n')
	b = appendLine(b, "RequestId", x.id, 2)
	b = closeElement(b, "ResponseMetadata", 1)
	b = closeElement(b, op.Name+"Response", 0)
	x.sendXML(http.StatusOK, b)
}

// failQuery answers with an error as XML.
func (x *exchange) failQuery(e *Error) {
	code, status, message := x.service.queryCode(e.Code), e.status(), e.Message
	switch {
	case code == "MissingAuthenticationToken":
		message = "Request is missing Authentication Token"
		status = http.StatusForbidden
	case forbidden[code]:
		status = http.StatusForbidden
	}
	b := append(x.scratch.inflated[:0], "<ErrorResponse"...)
	if x.service != nil {
		b = append(b, ` xmlns="`...)
		b = append(b, x.service.Query.Namespace...)
		b = append(b, '"')
	}
	b = append(b, ">\n  <Error>\n"...)
	b = appendLine(b, "Type", queryFault(status), 2)
	b = appendLine(b, "Code", code, 2)
	b = appendLine(b, "Message", message, 2)
	b = append(b, "  </Error>\n"...)
	b = appendLine(b, "RequestId", x.id, 1)
	b = closeElement(b, "ErrorResponse", 0)
	x.sendXML(status, b)
}

// sendXML sends b, which lies in the memory for inflated bodies. That becomes
// the memory of the response, which respond may have to give up.
func (x *exchange) sendXML(status int, b []byte) {
	x.scratch.inflated, x.scratch.out = x.scratch.out, b
	x.respond(status, xmlType, b)
}
