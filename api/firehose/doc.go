// Package firehose serves the API of Amazon Data Firehose: delivery streams
// are made, described, listed, deleted and put to.
//
// The package reads and checks definitions and puts, with the limits and texts
// of that API, and describes a delivery stream with its defaults filled in as
// the real service does. What a delivery stream is and where its records go is
// behind DeliveryStreams, which the daemon implements.
//
// Definitions with a destination in S3 or at an HTTP endpoint are accepted. It
// does not deliver, transform or keep anything.
package firehose
