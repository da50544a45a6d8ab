package wire

import (
	"net/http"
	"strings"
)

const (
	rpcProtocol = "rpc-v2-cbor"
	cborType    = "application/cbor"
)

// isRPC reports whether a request is of the smithy-rpc-v2-cbor protocol.
func (x *exchange) isRPC() bool {
	return x.r.Method == http.MethodPost && x.r.Header.Get("Smithy-Protocol") == rpcProtocol
}

// rpcTarget reads the service and operation from a path that ends in
// /service/NAME/operation/NAME.
func rpcTarget(path string) (svc, op string, ok bool) {
	parts := strings.Split(path, "/")
	n := len(parts)
	if n < 5 || parts[n-4] != "service" || parts[n-2] != "operation" || parts[n-3] == "" || parts[n-1] == "" {
		return "", "", false
	}
	return parts[n-3], parts[n-1], true
}

// routeRPC finds the operation and parses the body. If it cannot, it answers
// and returns false.
func (x *exchange) routeRPC(body []byte) (*service, *Operation, bool) {
	target, name, _ := rpcTarget(x.r.URL.Path)
	svc := x.h.services[target]
	if svc == nil || !svc.RPC {
		x.fail(rpc, Errorf(CodeUnknownOperation, ""))
		return nil, nil, false
	}
	x.service, x.event.Service = svc, svc.Target
	op := svc.operations[name]
	if op == nil {
		x.fail(rpc, Errorf(CodeUnknownOperation, ""))
		return nil, nil, false
	}
	x.event.Operation = op.Name
	var refusal *Error
	switch {
	case len(body) == 0:
		refusal = x.parse([]byte{cborMap << 5}, rpc) // no members
	case mediaType(x.r) != cborType:
		refusal = &Error{
			Code: "UnsupportedMediaTypeException", Status: http.StatusUnsupportedMediaType,
			Message: "The content type must be " + cborType + ".",
		}
	default:
		refusal = x.parse(body, rpc)
	}
	if refusal != nil {
		x.fail(rpc, refusal)
		return nil, nil, false
	}
	return svc, op, true
}

// answerRPC sends what an operation wrote. One that writes nothing has no
// output, and then the protocol wants neither a body nor its type.
func (x *exchange) answerRPC(status int, output []byte) {
	h := x.w.Header()
	h["smithy-protocol"] = []string{rpcProtocol}
	if len(output) == 0 {
		h["Content-Type"] = nil
		x.respond(status, "", output)
		return
	}
	x.respond(status, cborType, output)
}

// queryError names an error by its code of awsQuery, for clients that knew the
// service when it spoke that.
func (x *exchange) queryError(e *Error) {
	if x.service == nil || x.service.Query == nil || x.r.Header.Get("X-Amzn-Query-Mode") != "true" {
		return
	}
	x.w.Header()["x-amzn-query-error"] = []string{x.service.queryCode(e.Code) + ";" + queryFault(e.status())}
}
