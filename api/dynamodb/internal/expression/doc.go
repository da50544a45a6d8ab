// Package expression reads and evaluates the expressions of DynamoDB:
// conditions (also as filters and key conditions), updates and projections.
// Errors have the texts of the real service, without the name of the
// expression that they begin with there.
package expression
