// Package cloudwatch takes the metrics that clients of streams send: the
// operation PutMetricData of CloudWatch, in the three protocols that clients
// speak it in. The Kinesis Client Library, the Kinesis Producer Library and the
// Kinesis Agent send theirs this way and cannot be told to use another.
//
// It is not CloudWatch. Values are added up when they arrive, whatever their
// timestamps, in a bounded number of series that go away when they are idle;
// nothing is kept over a restart, and nothing can be asked back by the API.
// Metrics.Series is for the page of metrics of the daemon.
//
// Texts of errors are those of the real service where clients have logged
// them, and in its manner where they have not.
package cloudwatch
