package config

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func load(t *testing.T, text string) *Config {
	t.Helper()
	c, err := loadBytes("test.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func loadFile(t *testing.T, name string) *Config {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return load(t, string(data))
}

// same checks facts about a configuration: pairs of got and want.
func same(t *testing.T, facts map[string][2]any) {
	t.Helper()
	for name, f := range facts {
		if f[0] != f[1] {
			t.Errorf("%s is %v, want %v", name, f[0], f[1])
		}
	}
}

func TestDefaults(t *testing.T) {
	c := load(t, "{}")
	same(t, map[string][2]any{
		"data_dir":             {c.DataDir, "./firehosed-data"},
		"region":               {c.Region, "us-east-1"},
		"account_id":           {c.AccountID, "000000000000"},
		"shutdown_grace":       {time.Duration(c.ShutdownGrace), 30 * time.Second},
		"log.level":            {c.Log.Level, "info"},
		"log.format":           {c.Log.Format, "auto"},
		"http.listen":          {c.HTTP.Listen, "127.0.0.1:4573"},
		"http.auth":            {c.HTTP.Auth, "none"},
		"http.max_body":        {int64(c.HTTP.MaxBody), int64(16 << 20)},
		"http.max_connections": {c.HTTP.MaxConnections, 4096},
		"memory.buffers":       {int64(c.Memory.Buffers), int64(128 << 20)},
		"storage.segment_size": {int64(c.Storage.SegmentSize), int64(64 << 20)},
		"memory.log":           {int64(c.Memory.Log), int64(64 << 20)},
		"storage.scrub":        {int64(c.Storage.Scrub), int64(4 << 20)},
		"storage.scrub: 0":     {int64(load(t, "storage: { scrub: 0 }").Storage.Scrub), int64(-1)},
		"storage.on_damage":    {c.Storage.OnDamage, "error"},
		"storage.compression":  {c.Storage.Compression, "none"},
		"storage.min_free":     {int64(c.Storage.MinFree), int64(0)},
		"storage.min_free: 0":  {int64(load(t, "storage: { min_free: 0 }").Storage.MinFree), int64(-1)},
		"storage.ballast":      {int64(c.Storage.Ballast), int64(0)},
		"storage.ballast: 0":   {int64(load(t, "storage: { ballast: 0 }").Storage.Ballast), int64(-1)},
		"storage.min_free: 1":  {int64(load(t, "storage: { min_free: 1GB }").Storage.MinFree), int64(1e9)},
		"storage.page_cache":   {int64(c.Storage.PageCache), int64(256 << 20)},
		"storage.page_cache 0": {int64(load(t, "storage: { page_cache: 0 }").Storage.PageCache), int64(-1)},
		"storage.journal_size": {int64(c.Storage.JournalSize), int64(64 << 20)},
		"streams":              {len(c.Streams), 0},
		"delivery_streams":     {len(c.DeliveryStreams), 0},
		"given data_dir":       {c.Given("data_dir"), false},
	})
}

func TestDeliveryDefaults(t *testing.T) {
	c := load(t, `
region: eu-west-1
data_dir: /srv/data
streams: { s: {} }
delivery_streams:
  to-dir: { source: { stream: s }, destination: { dir: { path: /srv/out, prefix: "a/b=!{timestamp:yyyy}/", extension: .x } } }
  to-s3: { source: { file: { include: [/x] } }, destination: { s3: { bucket: lake, prefix: logs } } }
  search: { source: { direct_put: {} }, destination: { opensearch: { url: "http://h:9200", index: i } } }
  hook: { source: { direct_put: {} }, destination: { http: { url: "http://h/x" } }, errors: { s3: { bucket: e, region: here } } }
`)
	dir, s3, search, hook := c.DeliveryStreams["to-dir"], c.DeliveryStreams["to-s3"], c.DeliveryStreams["search"], c.DeliveryStreams["hook"]
	same(t, map[string][2]any{
		"stream shards":         {c.Streams["s"].Shards, 1},
		"stream retention":      {time.Duration(c.Streams["s"].Retention), 24 * time.Hour},
		"stream limits":         {c.Streams["s"].Limits, Limits{Like: "none"}},
		"source name":           {dir.Source.Stream.Name, "s"},
		"source start":          {dir.Source.Stream.Start, "horizon"},
		"dir buffer":            {dir.Buffer.Size, Bytes(64 << 20)},
		"dir interval":          {time.Duration(dir.Buffer.Interval), time.Minute},
		"dir format":            {dir.Format.Kind(), "ndjson"},
		"dir format set":        {dir.Format.NDJSON != nil, true},
		"dir compression":       {dir.Compression, "none"},
		"dir errors path":       {dir.Errors.Dir.Path, "/srv/out"},
		"dir errors prefix":     {dir.Errors.Dir.Prefix, "a/errors/"},
		"dir errors extension":  {dir.Errors.Dir.Extension, ""},
		"dir prefix untouched":  {dir.Destination.Dir.Prefix, "a/b=!{timestamp:yyyy}/"},
		"dir time zone":         {dir.TimeZone, "UTC"},
		"retry initial":         {time.Duration(dir.Retry.Initial), time.Second},
		"retry max":             {time.Duration(dir.Retry.Max), 2 * time.Minute},
		"s3 region":             {s3.Destination.S3.Region, "eu-west-1"},
		"s3 part size":          {s3.Destination.S3.PartSize, Bytes(8 << 20)},
		"s3 conditional writes": {s3.Destination.S3.ConditionalWrites, "auto"},
		"s3 errors prefix":      {s3.Errors.S3.Prefix, "errors/"},
		"s3 errors bucket":      {s3.Errors.S3.Bucket, "lake"},
		"file start":            {s3.Source.File.Start, "beginning"},
		"file max_line":         {s3.Source.File.MaxLine, Bytes(1 << 20)},
		"file poll":             {time.Duration(s3.Source.File.Poll), time.Second},
		"file multiline":        {s3.Source.File.Multiline == nil, true},
		"search buffer":         {search.Buffer.Size, Bytes(5 << 20)},
		"search urls":           {search.Destination.OpenSearch.URLs[0], "http://h:9200"},
		"search op_type":        {search.Destination.OpenSearch.OpType, "index"},
		"search errors":         {search.Errors.Dir.Path, "/srv/data/errors/search"},
		"hook buffer":           {hook.Buffer.Size, Bytes(5 << 20)},
		"hook compression":      {hook.Destination.HTTP.Compression, "gzip"},
		"hook timeout":          {time.Duration(hook.Destination.HTTP.Timeout), 3 * time.Minute},
		"hook errors":           {hook.Errors.S3.Bucket, "e"},
		"hook errors region":    {hook.Errors.S3.Region, "here"},
		"hook backup":           {hook.Backup == nil, true},
	})
}

func TestArchitectureNames(t *testing.T) {
	c := loadFile(t, "architecture.good.yaml")
	s := c.DeliveryStreams["access-log"]
	same(t, map[string][2]any{
		"shards":        {c.Streams["clicks"].Shards, 2},
		"include":       {s.Source.File.Include[0], "./logs/*.log"},
		"parse":         {s.Transforms[0].Parse.Format, "apache_combined"},
		"filter":        {s.Transforms[1].Filter.Expr, "status >= 200"},
		"jq":            {s.Transforms[2].JQ.Query, `. + {env: "prod"}`},
		"buffer":        {s.Buffer.Size.String(), "64MiB"},
		"format":        {s.Format.Kind(), "parquet"},
		"parquet":       {s.Format.Parquet.Compression, "zstd"},
		"schema":        {s.Format.Parquet.Schema.Inferred(), true},
		"bucket":        {s.Destination.S3.Bucket, "lake"},
		"path_style":    {s.Destination.S3.PathStyle, true},
		"errors":        {s.Errors.Dir.Path, "./out/errors"},
		"backup mode":   {s.Backup.Mode, "all"},
		"backup":        {s.Backup.Dir.Path, "./out/backup"},
		"given":         {c.Given("delivery_streams.access-log.backup.dir.path"), true},
		"not given":     {c.Given("delivery_streams.access-log.backup.dir.prefix"), false},
		"objects":       {s.Destination.Objects(), true},
		"file":          {c.File(), "test.yaml"},
		"s3 row groups": {s.Format.Parquet.RowGroupSize, Bytes(64 << 20)},
	})
}

func TestAnchorsAndMergeKeys(t *testing.T) {
	c := loadFile(t, "anchors.good.yaml")
	one, two := c.DeliveryStreams["one"], c.DeliveryStreams["two"]
	same(t, map[string][2]any{
		"alias":                     {c.Streams["b"].Shards, 4},
		"merge":                     {c.Streams["c"].Shards, 4},
		"merge with own key":        {time.Duration(c.Streams["c"].Retention), 7 * 24 * time.Hour},
		"merged bucket":             {one.Destination.S3.Bucket, "lake"},
		"own prefix":                {one.Destination.S3.Prefix, "one/"},
		"own prefix before merge":   {two.Destination.S3.Prefix, "two/"},
		"first of a list of wins":   {time.Duration(two.Buffer.Interval), 2 * time.Second},
		"second fills what is left": {two.Buffer.Size, Bytes(1 << 20)},
	})
	one.Destination.S3.Prefix = "changed/"
	if two.Destination.S3.Prefix != "two/" {
		t.Error("two delivery streams share one S3 value")
	}
}

func TestValuesFromOutside(t *testing.T) {
	c := loadFile(t, "values_from_outside.good.yaml")
	a := c.DeliveryStreams["a"]
	same(t, map[string][2]any{
		"variable":         {c.Region, "eu-west-1"},
		"default":          {c.AccountID, "123456789012"},
		"default duration": {time.Duration(c.ShutdownGrace), 90 * time.Second},
		"size":             {c.Memory.Buffers, Bytes(256 << 20)},
		"number":           {c.Streams["a"].Shards, 3},
		"two in one":       {c.HTTP.Listen, "127.0.0.1:0"},
		"file, line end":   {c.HTTP.Keys[0].SecretKey.Reveal(), "correct horse"},
		"auth by keys":     {c.HTTP.Auth, "sigv4"},
		"escape":           {a.Transforms[0].JQ.Query, `"${x} eu-west-1"`},
		"word":             {a.Format.Kind(), "parquet"},
		"boolean":          {a.Destination.S3.PathStyle, true},
		"never YAML":       {a.Destination.S3.Prefix, "{ a: { shards: 2 } }"},
	})
}

func TestResolve(t *testing.T) {
	r := &resolver{getenv: getenv, readFile: func(string) ([]byte, error) { return []byte("line\r\n"), nil }, files: map[string]fileText{}}
	for _, tt := range []struct{ text, value, origin string }{
		{"plain", "plain", ""},
		{"$5 $$ $", "$5 $$ $", ""},
		{"$${env:X}", "${env:X}", ""},
		{"a$${b$${c", "a${b${c", ""},
		{"${env:SHARDS}", "3", "${env:SHARDS}"},
		{"${env:SHARDS}$${x}", "3${x}", "${env:SHARDS}"},
		{"<${env:NONE:-}>", "<>", "${env:NONE}"},
		{"${env:NONE:-a:-b}", "a:-b", "${env:NONE}"},
		{"${env:EMPTY}", "", "${env:EMPTY}"},
		{"${env:EMPTY:-x}", "x", "${env:EMPTY}"},
		{"${env:NONE:-$}", "$", "${env:NONE}"},
		{"${file:a}", "line", "${file:a}"},
		{"${env:YAML}", "{ a: { shards: 2 } }", "${env:YAML}"},
	} {
		value, origin, err := r.resolve(tt.text)
		if err != nil || value != tt.value || origin != tt.origin {
			t.Errorf("resolve(%q) = %q, %q, %v; want %q, %q", tt.text, value, origin, err, tt.value, tt.origin)
		}
	}
}

// What is put in is not looked at again: a variable cannot reach another one.
func TestResolveOnce(t *testing.T) {
	r := &resolver{getenv: func(string) (string, bool) { return "${env:OTHER}$${", true }}
	if got, _, err := r.resolve("${env:X}"); err != nil || got != "${env:OTHER}$${" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestResolveIsBounded(t *testing.T) {
	reads := 0
	r := &resolver{
		getenv: func(string) (string, bool) { return string(make([]byte, maxResolvedValue)), true },
		readFile: func(string) ([]byte, error) {
			reads++
			return make([]byte, maxResolvedValue), nil
		},
		files: map[string]fileText{},
	}
	if _, _, err := r.resolve("x${env:A}"); err == nil {
		t.Error("took a value of more than the limit")
	}
	var failed error
	for i := 0; i < 1000 && failed == nil; i++ {
		_, _, failed = r.resolve("${file:" + string(rune('a'+i)) + "}")
	}
	if failed == nil || reads > maxResolvedTotal/maxResolvedValue+1 {
		t.Errorf("read %d files of %d bytes, then %v", reads, maxResolvedValue, failed)
	}
}

func TestLimits(t *testing.T) {
	c := load(t, `
api: { limits: { in_records: 7 } }
streams:
  none: { limits: none }
  aws: { limits: aws }
  own: { limits: { in_bytes: 512KiB, out_calls: 2 } }
  more: { limits: { like: aws, out_calls: 20 } }
`)
	aws := Limits{Like: "aws", InBytes: 1 << 20, InRecords: 1000, OutBytes: 2 << 20, OutCalls: 5}
	more := aws
	more.OutCalls = 20
	same(t, map[string][2]any{
		"api":  {c.API.Limits, Limits{Like: "none", InRecords: 7}},
		"none": {c.Streams["none"].Limits, Limits{Like: "none"}},
		"aws":  {c.Streams["aws"].Limits, aws},
		"own":  {c.Streams["own"].Limits, Limits{Like: "none", InBytes: 512 << 10, OutCalls: 2}},
		"more": {c.Streams["more"].Limits, more},
	})
}
