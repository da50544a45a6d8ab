// Package dynamodb is the lease store of Kinesis consumers, spoken to in the
// protocol of DynamoDB: the operations, conditions and errors that the Kinesis
// Client Library and its kind use. It is not a database. What it does not have
// it refuses with a ValidationException that names it.
//
// Texts of errors are those of the real service as far as they are publicly
// known. Sizes in messages and limits count as the real service counts them;
// capacities are kept and told, and limit nothing.
package dynamodb
