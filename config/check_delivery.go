package config

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones must be known in an image without a zone database
)

func (k *checker) delivery(name string, s *DeliveryStream) {
	at := Path("delivery_streams", name)
	k.source(at+".source", s.Source)
	for i, t := range s.Transforms {
		k.transform(pathIndex(at+".transforms", i), t)
	}
	k.destination(at+".destination", s.Destination)
	k.errorOutput(at+".errors", s.Errors)
	if s.Backup != nil {
		k.objectSinks(at+".backup", s.Backup.S3, s.Backup.Dir)
	}
	k.objects(at, s)
	k.buffer(at+".buffer", s)
	if s.Retry.Max < s.Retry.Initial {
		k.report(at+".retry.max", "is less than initial (%v)", s.Retry.Initial)
	}
	if s.Retry.GiveUpAfter != 0 && s.Destination.Objects() {
		k.report(at+".retry.give_up_after", "is only for opensearch and http; objects are tried until they are stored")
	}
	if _, err := time.LoadLocation(s.TimeZone); err != nil || s.TimeZone == "" || s.TimeZone == "Local" {
		k.report(at+".time_zone", "%s is not in the IANA database; write a zone such as UTC or Europe/Berlin", k.show(at+".time_zone", s.TimeZone))
	}
}

func (k *checker) source(at string, s Source) {
	if s.Stream != nil && s.Stream.Name != "" && k.c.Streams[s.Stream.Name] == nil {
		shown := at + ".stream.name"
		k.note(shown, "stream %s is not under streams; delivery begins when it is made through the API%s",
			k.show(shown, s.Stream.Name), didYouMean(s.Stream.Name, slices.Sorted(maps.Keys(k.c.Streams))))
	}
	f := s.File
	if f == nil {
		return
	}
	at += ".file"
	for _, list := range []struct {
		key   string
		globs []string
	}{{"include", f.Include}, {"exclude", f.Exclude}} {
		k.distinct(pathKey(at, list.key), list.globs)
		for i, g := range list.globs {
			p := pathIndex(pathKey(at, list.key), i)
			k.path(p, g)
			if _, err := path.Match(g, ""); err != nil {
				k.report(p, "%s is not a glob; a [ needs its ], or a \\ before it", k.show(p, g))
			}
		}
	}
	if f.MaxLine > f.MaxBatch {
		k.report(at+".max_batch", "is less than max_line (%v)", f.MaxLine)
	}
	if f.Multiline != nil {
		k.expression(at+".multiline.start_pattern", f.Multiline.StartPattern)
	}
}

// expression compiles a regular expression and returns nil if that fails.
func (k *checker) expression(at, pattern string) *regexp.Regexp {
	if pattern == "" {
		return nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		k.report(at, "is not a regular expression (RE2): %s", strings.TrimPrefix(k.c.redact(at, err.Error()), "error parsing regexp: "))
	}
	return re
}

func (k *checker) transform(at string, t Transform) {
	switch {
	case t.Parse != nil:
		k.parse(at+".parse", t.Parse)
	case t.Lambda != nil:
		at += ".lambda"
		l := t.Lambda
		k.address(at+".url", l.URL)
		k.address(at+".endpoint", l.Endpoint)
		k.credentials(at, l.AccessKey, l.SecretKey, l.SessionToken, l.Profile)
		if l.URL == "" {
			if k.c.Given(at + ".headers") {
				k.report(at+".headers", "has no effect beside function; it is for url")
			}
			return
		}
		for _, key := range []string{"endpoint", "access_key", "secret_key", "session_token", "profile"} {
			if k.c.Given(pathKey(at, key)) {
				k.report(pathKey(at, key), "has no effect beside url; it is for function")
			}
		}
	case t.Exec != nil:
		at += ".exec"
		if len(t.Exec.Command) > 0 && t.Exec.Command[0] == "" {
			k.report(at+".command[0]", "is empty; it must name a program")
		}
		k.path(at+".dir", t.Exec.Dir)
		if t.Exec.Restart.Max < t.Exec.Restart.Initial {
			k.report(at+".restart.max", "is less than initial (%v)", t.Exec.Restart.Initial)
		}
	}
}

// parse checks that the keys fit the format.
func (k *checker) parse(at string, p *Parse) {
	if p.Format == "" {
		return // reported as missing or wrong
	}
	for _, need := range []struct {
		key, format string
		given       bool
		required    bool
	}{
		{"pattern", "regex", p.Pattern != "", true},
		{"columns", "csv", len(p.Columns) > 0, true},
		{"delimiter", "csv", k.c.Given(at + ".delimiter"), false},
	} {
		switch {
		case need.format == p.Format && need.required && !need.given:
			k.report(pathKey(at, need.key), "is missing; format %s needs it", p.Format)
		case need.format != p.Format && need.given:
			k.report(pathKey(at, need.key), "has no effect with format %s; it is for %s", p.Format, need.format)
		}
	}
	k.distinct(at+".columns", p.Columns)
	if p.Format == "csv" {
		k.oneCharacter(at+".delimiter", p.Delimiter)
	}
	if p.Format != "regex" {
		return
	}
	re := k.expression(at+".pattern", p.Pattern)
	if re == nil {
		return
	}
	names := slices.DeleteFunc(re.SubexpNames(), func(n string) bool { return n == "" })
	if len(names) == 0 {
		k.report(at+".pattern", "has no named group; each (?P<name>...) becomes a field")
	}
}

// objects checks format and compression against each other and the destination.
func (k *checker) objects(at string, s *DeliveryStream) {
	if d := s.Destination; d.OpenSearch != nil || d.HTTP != nil {
		kind := "opensearch"
		if d.HTTP != nil {
			kind = "http"
		}
		if k.c.Given(at + ".format") {
			k.report(at+".format", "has no effect for %s, which takes records one by one; remove it", kind)
		}
		if s.Compression != "none" {
			k.report(at+".compression", "has no effect for %s, which takes records one by one; remove it", kind)
		}
	}
	if f := s.Format.CSV; f != nil {
		k.distinct(at+".format.csv.columns", f.Columns)
		k.oneCharacter(at+".format.csv.delimiter", f.Delimiter)
	}
	f := s.Format.Parquet
	if f == nil {
		return
	}
	if s.Compression != "none" {
		k.report(at+".compression", "must be none with parquet, which compresses inside the file; see format.parquet.compression")
	}
	if f.CaseInsensitive && f.Schema.Inferred() {
		k.report(at+".format.parquet.case_insensitive", "is only for declared columns")
	}
	if f.PageSize > f.RowGroupSize {
		k.report(at+".format.parquet.page_size", "is more than row_group_size (%v)", f.RowGroupSize)
	}
	seen := map[string]bool{}
	for i, c := range f.Schema.Columns {
		p := pathIndex(at+".format.parquet.schema.columns", i) + ".name"
		if c.Name != "" && seen[c.Name] {
			k.report(p, "there is a column %s already", k.show(p, c.Name))
		}
		seen[c.Name] = true
	}
	if p := at + ".format.parquet.extra_column"; f.ExtraColumn != "" && seen[f.ExtraColumn] {
		k.report(p, "there is a column %s already", k.show(p, f.ExtraColumn))
	}
}

// buffer checks the size against what the destination takes in one request.
func (k *checker) buffer(at string, s *DeliveryStream) {
	most, who := Bytes(0), ""
	switch {
	case s.Destination.OpenSearch != nil:
		most, who = 100<<20, "opensearch"
	case s.Destination.HTTP != nil:
		most, who = 64<<20, "http"
	}
	if most > 0 && s.Buffer.Size > most {
		k.report(at+".size", "%v is more than %v, the most that %s takes at once", s.Buffer.Size, most, who)
	}
}
