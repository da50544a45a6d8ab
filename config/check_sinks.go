package config

import (
	"maps"
	"path"
	"slices"
	"strings"
)

const maxPrefix = 1024 // as in Firehose

func (k *checker) destination(at string, d Destination) {
	k.objectSinks(at, d.S3, d.Dir)
	if d.S3 != nil {
		k.dataPrefix(at+".s3.prefix", d.S3.Prefix)
	}
	if d.Dir != nil {
		k.dataPrefix(at+".dir.prefix", d.Dir.Prefix)
	}
	if d.OpenSearch != nil {
		k.openSearch(at+".opensearch", d.OpenSearch)
	}
	if d.HTTP != nil {
		k.endpoint(at+".http", d.HTTP)
	}
}

func (k *checker) errorOutput(at string, e *ErrorOutput) {
	if k.c.Given(at) {
		k.objectSinks(at, e.S3, e.Dir)
	}
}

// objectSinks checks whichever sink for objects there is.
func (k *checker) objectSinks(at string, s3 *S3, dir *Dir) {
	if s3 != nil {
		p := at + ".s3"
		k.address(p+".endpoint", s3.Endpoint)
		k.credentials(p, s3.AccessKey, s3.SecretKey, s3.SessionToken, s3.Profile)
		k.prefix(p+".prefix", s3.Prefix)
		k.path(p+".ca_file", s3.CAFile)
		if s3.KMSKeyID != "" && !strings.HasPrefix(s3.Encryption, "aws:kms") {
			k.report(p+".kms_key_id", "needs encryption: aws:kms or aws:kms:dsse beside it")
		}
	}
	if dir != nil {
		k.path(at+".dir.path", dir.Path)
		p := at + ".dir.prefix"
		k.prefix(p, dir.Prefix)
		for part := range strings.SplitSeq(dir.Prefix, "/") {
			if part == ".." {
				k.report(p, "must not lead out of the directory with ..")
			}
		}
	}
}

// prefix checks what needs no knowledge of the expressions in it; those belong
// to the part of the daemon that evaluates them.
func (k *checker) prefix(at, prefix string) {
	switch {
	case len(prefix) > maxPrefix:
		k.report(at, "has %d bytes; at most %d are possible", len(prefix), maxPrefix)
	case strings.HasPrefix(prefix, "/"):
		k.report(at, "must not begin with /, which would make a folder without a name")
	}
}

func (k *checker) dataPrefix(at, prefix string) {
	if strings.Contains(prefix, "!{firehose:error-output-type}") {
		k.report(at, "!{firehose:error-output-type} belongs in the prefix of errors")
	}
}

func (k *checker) openSearch(at string, o *OpenSearch) {
	k.address(at+".url", o.URL)
	k.distinct(at+".urls", o.URLs)
	for i, u := range o.URLs {
		if k.c.Given(at + ".urls") {
			k.address(pathIndex(at+".urls", i), u)
		}
	}
	if k.c.Given(at+".urls") && len(o.URLs) == 0 {
		k.report(at+".urls", "is empty; give at least one")
	}
	switch {
	case o.Username != "" && o.Password.Empty():
		k.report(at+".username", "needs password beside it")
	case o.Username == "" && !o.Password.Empty():
		k.report(at+".password", "needs username beside it")
	case o.Username != "" && !o.APIKey.Empty():
		k.report(at+".api_key", "cannot stand beside username; remove one of the two")
	}
	k.index(at+".index", o)
	k.path(at+".ca_file", o.CAFile)
}

// index checks an index name by the rules that OpenSearch and Elasticsearch
// share.
func (k *checker) index(at string, o *OpenSearch) {
	most := 255
	if o.Rotation != "none" {
		most -= len("-2026-08-01-10")
	}
	shown := k.show(at, o.Index)
	switch name := o.Index; {
	case name == "":
	case len(name) > most:
		k.report(at, "has %d bytes; at most %d are possible with rotation %s", len(name), most, o.Rotation)
	case strings.ToLower(name) != name:
		k.report(at, "%s has upper-case letters, which index names cannot have", shown)
	case strings.ContainsAny(name, "\\/*?\"<>| ,#:\t\r\n"):
		k.report(at, "%s has a space or one of \\ / * ? \" < > | , # :, which index names cannot have", shown)
	case strings.ContainsAny(name[:1], "-_+"), name == ".", name == "..":
		k.report(at, "%s begins with - _ or +, or is . or .., which index names cannot", shown)
	}
}

func (k *checker) endpoint(at string, h *HTTPEndpoint) {
	k.address(at+".url", h.URL)
	k.path(at+".ca_file", h.CAFile)
	if len(h.AccessKey.Reveal()) > 4096 || strings.ContainsAny(h.AccessKey.Reveal(), "\r\n\x00") {
		k.report(at+".access_key", "has more than 4096 bytes or a line end, which a header cannot carry")
	}
	if len(h.Attributes) > 50 {
		k.report(at+".attributes", "there are %d; at most 50 are possible", len(h.Attributes))
	}
	for _, name := range slices.Sorted(maps.Keys(h.Attributes)) {
		if size := len(h.Attributes[name]); size > 1024 {
			k.report(pathKey(at+".attributes", name), "has %d bytes; at most 1024 are possible", size)
		}
	}
}

// matchPath reports whether a glob matches a path, both split at their slashes.
// ** stands for any number of parts.
func matchPath(glob, parts []string) bool {
	// One row of the usual table: reach[j] says that the globs so far match the
	// first j parts. It costs len(glob) x len(parts), whatever the globs are.
	reach := make([]bool, len(parts)+1)
	reach[0] = true
	for _, g := range glob {
		next := make([]bool, len(parts)+1)
		if g == "**" {
			next[0] = reach[0]
		}
		for j := 1; j <= len(parts); j++ {
			if g == "**" {
				next[j] = reach[j] || next[j-1]
				continue
			}
			ok, err := path.Match(g, parts[j-1])
			next[j] = err == nil && ok && reach[j-1]
		}
		reach = next
	}
	return reach[len(parts)]
}
