package config

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// complete fills in the defaults that depend on other keys.
func (c *Config) complete() {
	if c.HTTP.Auth == "" {
		c.HTTP.Auth = "none"
		if len(c.HTTP.Keys) > 0 {
			c.HTTP.Auth = "sigv4"
		}
	}
	if c.Storage.MinFree == 0 && c.Given("storage.min_free") {
		c.Storage.MinFree = -1
	}
	if c.Storage.Scrub == 0 {
		c.Storage.Scrub = -1
	}
	if c.Storage.PageCache == 0 {
		c.Storage.PageCache = -1
	}
	if c.Storage.Ballast == 0 && c.Given("storage.ballast") {
		c.Storage.Ballast = -1
	}
	c.API.Limits.complete()
	for _, s := range c.Streams {
		s.Limits.complete()
	}
	for _, name := range c.deliveryNames() {
		c.completeDelivery(name, c.DeliveryStreams[name])
	}
}

func (c *Config) completeDelivery(name string, s *DeliveryStream) {
	for _, t := range s.Transforms {
		if t.Lambda != nil && t.Lambda.Region == "" {
			t.Lambda.Region = c.Region
		}
		if t.Parse != nil && t.Parse.Format == "csv" && t.Parse.Delimiter == "" {
			t.Parse.Delimiter = ","
		}
	}
	if s.Format == (Format{}) {
		s.Format.NDJSON = &NDJSON{}
	}
	if s.Buffer.Size == 0 && !c.Given(Path("delivery_streams", name, "buffer", "size")) {
		s.Buffer.Size = 64 << 20
		if !s.Destination.Objects() {
			s.Buffer.Size = 5 << 20
		}
	}
	if o := s.Destination.OpenSearch; o != nil && o.URL != "" && len(o.URLs) == 0 {
		o.URLs = []string{o.URL}
	}
	if s.Errors == nil {
		s.Errors = c.defaultErrors(name, s)
	}
	sinks := []*S3{s.Destination.S3, s.Errors.S3}
	if s.Backup != nil {
		sinks = append(sinks, s.Backup.S3)
	}
	for _, s3 := range sinks {
		if s3 != nil && s3.Region == "" {
			s3.Region = c.Region
		}
	}
}

// defaultErrors is the error output of a delivery stream that names none:
// folders errors/ beside the data where the destination holds objects, so that
// whoever may write the data may write these too, and else a folder in the
// data directory.
func (c *Config) defaultErrors(name string, s *DeliveryStream) *ErrorOutput {
	switch d := s.Destination; {
	case d.S3 != nil:
		s3 := *d.S3
		s3.Prefix, s3.Extension = literalFolder(s3.Prefix)+"errors/", ""
		return &ErrorOutput{Compression: "none", S3: &s3}
	case d.Dir != nil:
		dir := *d.Dir
		dir.Prefix, dir.Extension = literalFolder(dir.Prefix)+"errors/", ""
		return &ErrorOutput{Compression: "none", Dir: &dir}
	}
	return &ErrorOutput{Compression: "none", Dir: &Dir{Path: filepath.Join(c.DataDir, "errors", name)}}
}

// literalFolder returns the folders at the beginning of a prefix that are the
// same for all objects.
func literalFolder(prefix string) string {
	literal, _, _ := strings.Cut(prefix, "!{")
	return literal[:strings.LastIndexByte(literal, '/')+1]
}

func (c *Config) deliveryNames() []string {
	return slices.Sorted(maps.Keys(c.DeliveryStreams))
}
