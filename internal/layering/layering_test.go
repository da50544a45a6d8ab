// Package layering holds no code but the test that keeps imports pointing down.
//
// The table below is the one of docs/architecture.md. The test lists the module's packages with "go list", so it needs only
// Go, and looks at what they import outside of tests. Tests may import what they like.
package layering

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/firehosed/firehosed"

// anywhere lists the modules that every room may use: they carry no notion of any room.
var anywhere = []string{"golang.org/x", "github.com/google/uuid"}

// A row says what the packages of one room may import, besides the standard library, the modules of anywhere, internal/...
// and folders of their own named internal.
type row struct {
	room    string   // path in the module; "x/*" is every package below x that has no row of its own
	rooms   []string // rooms it may import, by exact path; "..." means all
	modules []string // import path prefixes outside of the module it may import; "..." means all
	deny    []string // packages of the standard library it may not import
	knows   string   // what the room is about, for the message
}

var table = []row{
	{room: "cmd/firehosed", rooms: []string{"..."}, modules: []string{"..."}, knows: "everything, to wire it"},
	{room: "cmd/firehosed/*", rooms: []string{"..."}, modules: []string{"..."}, knows: "everything, to wire it"},
	{room: "bench", rooms: []string{"..."}, modules: []string{"..."}, knows: "everything, to measure it"},
	{room: "bench/*", rooms: []string{"..."}, modules: []string{"..."}, knows: "everything, to measure it"},
	{room: "scripts/*", knows: "the build, nothing of the daemon"},
	{room: "config", modules: []string{"gopkg.in/yaml.v3"}, deny: []string{"net/http"}, knows: "the shape, defaults and checks of the file, not how parts work"},
	{room: "config/*", rooms: []string{"config"}, knows: "what is generated from the table of keys"},

	{room: "api/wire", rooms: []string{"access"}, modules: []string{"github.com/segmentio/asm", "github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"}, knows: "protocols, error shapes and limits of the wire, no operation"},
	{room: "api/kinesis", rooms: []string{"api/wire", "streams", "streams/limits", "access"}, knows: "Kinesis names, shapes and errors, not files, not delivery"},
	{room: "api/dynamodb", rooms: []string{"api/wire", "leases"}, knows: "DynamoDB names, shapes, expressions and errors, not how items are kept"},
	{room: "leases", rooms: []string{"streams"}, deny: []string{"net/http", "os"}, knows: "items, keys and indexes kept in an engine's state, not what a condition says, not HTTP"},
	{room: "api/firehose", rooms: []string{"api/wire", "streams", "access", "delivery"}, knows: "Firehose names, shapes and errors, not files, not sinks"},
	{room: "api/cloudwatch", rooms: []string{"api/wire"}, deny: []string{"net/http", "os"}, knows: "the metrics that clients send, not who shows them"},
	{room: "api/sts", rooms: []string{"api/wire", "access"}, deny: []string{"net/http", "os"}, knows: "who a caller is, not how that was found out"},
	{room: "api/admin", rooms: []string{"api/wire", "streams", "access", "delivery"}, modules: []string{"github.com/prometheus/client_golang"}, knows: "health and metrics"},
	{room: "access", knows: "keys, signatures and request attributes, not handlers, not storage"},
	{room: "sources/*", rooms: []string{"streams"}, modules: []string{"github.com/fsnotify/fsnotify", "github.com/bmatcuk/doublestar/v4"}, knows: "an outside format and how far it was read, not delivery, not sinks"},

	{room: "delivery", rooms: []string{"streams", "buffer", "transform", "formats", "sinks"}, deny: []string{"net/http"}, knows: "the order of the steps, retries and positions, only the contracts of transforms, formats and sinks"},
	{room: "buffer", deny: []string{"net/http", "os"}, knows: "bytes, counts, age and a memory budget, no I/O"},
	{room: "transform", deny: []string{"net/http"}, knows: "the contract: a batch in, a verdict for each record out"},
	{room: "transform/*", rooms: []string{"transform", "transform/contract"}, modules: []string{"github.com/expr-lang/expr", "github.com/itchyny/gojq", "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"}, knows: "one way to compute, not where records come from or go"},
	{room: "formats", modules: []string{"github.com/klauspost/compress"}, deny: []string{"net", "net/http"}, knows: "records to bytes over an io.Writer, no destination, no stream"},
	{room: "formats/parquet", rooms: []string{"formats", "formats/schema"}, modules: []string{"github.com/klauspost/compress", "github.com/parquet-go/parquet-go"}, deny: []string{"net", "net/http"}, knows: "Parquet over an io.Writer, no destination, no stream"},
	{room: "formats/*", rooms: []string{"formats"}, modules: []string{"github.com/klauspost/compress"}, deny: []string{"net", "net/http"}, knows: "one encoding over an io.Writer, no destination, no stream"},
	{room: "sinks", knows: "the contract and the classes of errors"},
	{room: "sinks/http", rooms: []string{"sinks"}, knows: "the HTTP endpoint protocol and its errors, not streams, not positions, not retries"},
	{room: "sinks/dir", rooms: []string{"sinks"}, deny: []string{"net/http"}, knows: "folders and files, not streams, not positions, not retries"},
	{room: "sinks/s3", rooms: []string{"sinks"}, modules: []string{"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"}, knows: "S3 and its errors, not streams, not positions, not retries"},
	{room: "sinks/opensearch", rooms: []string{"sinks"}, modules: []string{"github.com/elastic/go-elasticsearch/v8", "github.com/elastic/elastic-transport-go/v8"}, knows: "the bulk API and its errors, not streams, not positions, not retries"},

	{room: "streams", deny: []string{"net/http", "encoding/json"}, knows: "shards, sequence numbers, time and durability, not HTTP, YAML or the content of records"},
	{room: "streams/limits", rooms: []string{"streams"}, deny: []string{"net/http", "encoding/json", "os"}, knows: "rates of shards, not HTTP, not files"},
	{room: "streams/aggregate", rooms: []string{"streams"}, deny: []string{"net/http", "encoding/json", "os"}, knows: "the aggregation format of the producer library and hash ranges, not who reads"},
	{room: "streams/wal", rooms: []string{"streams"}, modules: []string{"github.com/klauspost/compress"}, deny: []string{"net/http"}, knows: "bytes, files, fdatasync and checksums, not who writes or reads"},
	{room: "streams/wal/*", rooms: []string{"streams", "streams/wal"}, deny: []string{"net/http"}, knows: "bytes, files, fdatasync and checksums, not who writes or reads"},
	{room: "internal/*", deny: []string{"net/http"}, knows: "one small thing of no room"},
}

// An edge is one import: a package of the module, by its path in it, and the import path as Go has it.
type edge struct{ from, to string }

func TestImportsPointDown(t *testing.T) {
	// Go reuses a test's result while the files the test itself opened stay the same. It does not see what "go list" read,
	// so look at every source file here.
	err := filepath.WalkDir("../..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") {
			return nil // a folder that went away meanwhile is not the subject of this test
		}
		_, _ = os.Stat(name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, goos := range []string{"linux", "darwin", "windows"} {
		t.Run(goos, func(t *testing.T) {
			edges := list(t, goos)
			if !slices.ContainsFunc(edges, func(e edge) bool { return e.from == "streams/wal" }) {
				t.Fatalf("go list found no imports of streams/wal among %d: the test sees nothing", len(edges))
			}
			for _, v := range check(table, edges) {
				t.Error(v)
			}
		})
	}
}

// list asks Go for the imports of every package of the module on one operating system.
func list(t *testing.T, goos string) []edge {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-e", "-json=ImportPath,Imports", module+"/...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0", "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var edges []edge
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return edges
		}
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		for _, to := range p.Imports {
			edges = append(edges, edge{strings.TrimPrefix(p.ImportPath, module+"/"), to})
		}
	}
}

// check returns a sentence for each import that the table does not allow.
func check(table []row, edges []edge) []string {
	var bad []string
	for _, e := range edges {
		r, ok := rowOf(table, e.from)
		if !ok {
			bad = append(bad, fmt.Sprintf("%s has no row: say in internal/layering and in docs/architecture.md what the room may import", e.from))
			continue
		}
		if why := refuse(r, e); why != "" {
			bad = append(bad, fmt.Sprintf("%s imports %s: %s (%s knows %s)", e.from, strings.TrimPrefix(e.to, module+"/"), why, r.room, r.knows))
		}
	}
	slices.Sort(bad)
	return slices.Compact(bad)
}

// refuse says why a row does not allow an import, or nothing if it does.
func refuse(r row, e edge) string {
	if to, ours := strings.CutPrefix(e.to, module+"/"); ours {
		private := to
		if i := strings.Index(to+"/", "/internal/"); i >= 0 {
			private = to[:i] // formats/internal/x is a part of formats; Go itself keeps others out
		}
		switch {
		case slices.Contains(r.rooms, "..."):
			return ""
		case strings.HasPrefix(to, "internal/"), private != to && strings.HasPrefix(e.from+"/", private+"/"):
			return ""
		case strings.HasSuffix(path.Base(to), "test"):
			return "only tests may import a contract suite"
		case slices.Contains(r.rooms, to):
			return ""
		case len(r.rooms) == 0:
			return "the room may import no other room but internal/..."
		}
		return "of the other rooms it may import only " + strings.Join(r.rooms, ", ") + " and internal/..."
	}
	if first, _, _ := strings.Cut(e.to, "/"); !strings.Contains(first, ".") { // the standard library
		if slices.Contains(r.deny, e.to) {
			return "the room has to do without this package"
		}
		return ""
	}
	for _, m := range slices.Concat(anywhere, r.modules) {
		if m == "..." || e.to == m || strings.HasPrefix(e.to, m+"/") {
			return ""
		}
	}
	if len(r.modules) == 0 {
		return "the room may use no module but " + strings.Join(anywhere, ", ")
	}
	return "of other modules it may use only " + strings.Join(slices.Concat(anywhere, r.modules), ", ")
}

// rowOf finds the row of a package: its own, that of the room whose internal folder it lies in, or the nearest "x/*".
// A package named ...test is a contract suite or a test server: it may use its room, what that uses, and any of the
// standard library; that only tests import it is checked on the other side.
func rowOf(table []row, pkg string) (row, bool) {
	if i := strings.Index(pkg, "/internal/"); i >= 0 {
		pkg = pkg[:i]
	}
	for _, r := range table {
		if r.room == pkg {
			return r, true
		}
	}
	if parent, ok := strings.CutSuffix(pkg, "/"+path.Base(pkg)); ok && strings.HasSuffix(pkg, "test") {
		r, found := rowOf(table, parent)
		return row{
			room:    pkg,
			rooms:   append([]string{parent}, r.rooms...),
			modules: append([]string{"go.uber.org/goleak"}, r.modules...),
			knows:   "the contract of " + parent + ", as tests",
		}, found
	}
	for dir := path.Dir(pkg); dir != "."; dir = path.Dir(dir) {
		for _, r := range table {
			if r.room == dir+"/*" {
				return r, true
			}
		}
	}
	return row{}, false
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		want     string // part of the message; empty: allowed
	}{
		{"streams/wal", module + "/streams", ""},
		{"streams/wal", module + "/internal/vfs", ""},
		{"streams/wal", "golang.org/x/sys/unix", ""},
		{"streams/wal", "os", ""},
		{"streams/wal", module + "/delivery", "may import only streams and internal/..."},
		{"streams", module + "/streams/wal", "may import no other room"},
		{"streams", "net/http", "do without this package"},
		{"streams", "gopkg.in/yaml.v3", "no module but golang.org/x, github.com/google/uuid"},
		{"config", "gopkg.in/yaml.v3", ""},
		{"delivery", module + "/sinks", ""},
		{"delivery", module + "/sinks/s3", "delivery imports sinks/s3"},
		{"delivery", module + "/config", "delivery imports config"},
		{"sinks/s3", "github.com/aws/aws-sdk-go-v2/service/s3", ""},
		{"sinks/s3", "github.com/aws/aws-sdk-go-v2beta", "of other modules"},
		{"sinks/dir", "github.com/aws/aws-sdk-go-v2/service/s3", "no module but golang.org/x, github.com/google/uuid"},
		{"sinks/s3", module + "/sinks/dir", "may import only sinks"},
		{"sinks/s3", module + "/sinks/sinktest", "only tests may import a contract suite"},
		{"api/kinesis", module + "/api/firehose", "may import only api/wire"},
		{"formats/parquet", module + "/formats/internal/jsonscan", ""},
		{"formats/internal/jsonscan", "net", "do without this package"},
		{"transform/jq", "github.com/itchyny/gojq", ""},
		{"internal/backoff", module + "/streams", "may import no other room"},
		{"cmd/firehosed", module + "/sinks/s3", ""},
		{"sinks/sinktest", module + "/sinks", ""},
		{"sinks/s3/s3test", "net/http", ""},
		{"sinks/s3/s3test", "go.uber.org/goleak", ""},
		{"sinks/s3/s3test", module + "/delivery", "sinks/s3/s3test imports delivery"},
		{"util", "os", "util has no row"},
		{"util/utiltest", "os", "util/utiltest has no row"},
		{"sources/file/tail", module + "/delivery", "sources/file/tail imports delivery"},
	} {
		got := strings.Join(check(table, []edge{{tt.from, tt.to}}), "; ")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s imports %s: got %q, want %q in it", tt.from, tt.to, got, tt.want)
		}
	}
}
