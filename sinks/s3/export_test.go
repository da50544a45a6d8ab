package s3

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// SetMaxParts lowers the limit on parts, which takes 50 GB to reach.
func (s *Sink) SetMaxParts(n int32) { s.maxParts = n }

// Client is the client of the SDK, to do what a sink does not.
func (s *Sink) Client() *s3.Client { return s.client }

// PutObjectInput is the request of a program that is not ours.
func PutObjectInput(bucket, key, data string) *s3.PutObjectInput {
	return &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader(data)}
}
