// Package wire is the AWS side of the port: it turns HTTP requests of the
// awsJson 1.1 and 1.0, CBOR, smithy-rpc-v2-cbor and awsQuery protocols into
// checked values for an operation of a service, and what the operation says
// into a response or an error of the shape AWS clients know.
//
// A service is a table: a target prefix and its operations, each with the
// Shape of its input. The shape alone drives the type checks
// (SerializationException) and the constraint checks (ValidationException),
// with the texts of the real service, so that an operation starts with values
// that are right one by one.
//
// Everything a client can make large is bounded: headers, body, nesting,
// number of values, the time a body may take, and the bytes of all bodies in
// flight. The package knows no streams and no deliveries; what a request means
// is the business of the services.
//
// Texts and the order of checks follow what is publicly known of the real
// service, mostly by way of kinesalite, which recorded them.
package wire
