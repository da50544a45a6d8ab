package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestPath(t *testing.T) {
	for _, tt := range []struct {
		path, want, parent string
	}{
		{Path(), "", ""},
		{Path("http"), "http", ""},
		{Path("http", "keys", 0, "secret_key"), "http.keys[0].secret_key", "http.keys[0]"},
		{Path("http", "keys", 12), "http.keys[12]", "http.keys"},
		{Path("delivery_streams", "a.b", "buffer"), `delivery_streams."a.b".buffer`, `delivery_streams."a.b"`},
		{Path("delivery_streams", "a.b"), `delivery_streams."a.b"`, "delivery_streams"},
		{Path("x", `"[.\`), `x."\"[.\\"`, "x"},
		{Path("x", ""), `x.""`, "x"},
		{Path("a.b"), `"a.b"`, ""},
	} {
		if tt.path != tt.want {
			t.Errorf("path is %s, want %s", tt.path, tt.want)
		}
		if got := pathParent(tt.path); got != tt.parent {
			t.Errorf("parent of %s is %s, want %s", tt.path, got, tt.parent)
		}
	}
}

const problemFile = `region: us-east-1
delivery_streams:
  a.b:
    source: { direct_put: {} }
    transforms:
      - filter:
          expr: ${env:SECRET_WORD} >
    destination:
      opensearch:
        urls: ["http://h", "${env:OS_URL:-http://hidden}"]
        index: x
        password: topsecret
        username: u
`

func TestProblemHasAPlace(t *testing.T) {
	c := load(t, problemFile)
	cause := errors.New("does not compile")
	for _, tt := range []struct{ path, want string }{
		{"region", "test.yaml:1:9: region: does not compile"},
		{"", "test.yaml:1:1: does not compile"},
		{Path("delivery_streams", "a.b"), `test.yaml:3:3: delivery_streams."a.b": does not compile`},
		{Path("delivery_streams", "a.b", "transforms", 0, "filter", "expr"), `test.yaml:7:17: delivery_streams."a.b".transforms[0].filter.expr: does not compile`},
		{Path("delivery_streams", "a.b", "transforms", 0), `test.yaml:6:9: delivery_streams."a.b".transforms[0]: does not compile`},
		{Path("delivery_streams", "a.b", "buffer", "size"), `test.yaml:3:3: delivery_streams."a.b".buffer.size: does not compile`},
		{Path("memory", "buffers"), "test.yaml:1:1: memory.buffers: does not compile"},
	} {
		err := c.Problem(tt.path, cause)
		if err.Error() != tt.want {
			t.Errorf("got  %v\nwant %s", err, tt.want)
		}
		if !errors.Is(err, cause) {
			t.Errorf("%v lost its cause", err)
		}
	}
	if err := c.Problem("region", nil); err != nil {
		t.Errorf("a problem out of nothing: %v", err)
	}
}

func TestProblemHidesValuesFromOutside(t *testing.T) {
	c := load(t, problemFile)
	expr := Path("delivery_streams", "a.b", "transforms", 0, "filter", "expr")
	for _, text := range []string{"unexpected end in hunter2 >", `cannot compile "hunter2 >"`} {
		got := c.Problem(expr, errors.New(text)).Error()
		if strings.Contains(got, "hunter2") || !strings.Contains(got, "[value from ${env:SECRET_WORD}]") {
			t.Errorf("%q became %q", text, got)
		}
	}
	// A part that gets a whole section tells of values inside it.
	sink := Path("delivery_streams", "a.b", "destination", "opensearch")
	got := c.Problem(sink, errors.New("http://hidden refuses topsecret")).Error()
	if strings.Contains(got, "hidden") || strings.Contains(got, "topsecret") {
		t.Errorf("shows %q", got)
	}
	// What the file itself says may be shown.
	if got := c.Problem(sink, errors.New("http://h refuses")).Error(); !strings.Contains(got, "http://h refuses") {
		t.Errorf("hides too much: %q", got)
	}
}

func TestJoin(t *testing.T) {
	c := load(t, problemFile)
	err := Join(
		c.Problem(Path("delivery_streams", "a.b"), errors.New("second")),
		nil,
		c.Problem("region", errors.New("first")),
		c.Problem("region", errors.New("first")),
	)
	want := "test.yaml:1:9: region: first\ntest.yaml:3:3: delivery_streams.\"a.b\": second"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := Join(nil, nil); err != nil {
		t.Errorf("out of nothing: %v", err)
	}
}

func TestProblemsAreBoundedAndOrdered(t *testing.T) {
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "key%d: 1\n", i)
	}
	_, err := loadBytes("test.yaml", []byte(b.String()))
	p, ok := errors.AsType[*Problems](err)
	if !ok {
		t.Fatalf("error is %v", err)
	}
	if len(p.List) != maxProblems || p.Omitted != 1000-maxProblems {
		t.Errorf("%d problems and %d omitted", len(p.List), p.Omitted)
	}
	if !strings.HasSuffix(p.Error(), fmt.Sprintf("\nand %d more", 1000-maxProblems)) {
		t.Errorf("does not say how many more: %s", p.Error()[len(p.Error())-50:])
	}
	for i := range p.List {
		if p.List[i].Line != i+1 {
			t.Fatalf("problem %d is of line %d", i, p.List[i].Line)
		}
	}
	if _, ok := errors.AsType[*Problem](err); !ok {
		t.Error("the single problems cannot be reached")
	}
}

func TestNearest(t *testing.T) {
	keys := []string{"buffer", "format", "source", "destination", "transforms", "data_dir", "max_body", "s3", "dir", "url", "urls"}
	for word, want := range map[string]string{
		"bufer": "buffer", "fromat": "format", "sorce": "source", "destiantion": "destination", "transform": "transforms",
		"dataDir": "data_dir", "max-body": "max_body", "MAX_BODY": "max_body", "S3": "s3", "uri": "url", "buffer": "buffer",
		"wibble": "", "x": "", "": "", "compression": "", strings.Repeat("b", 1000): "",
	} {
		if got := nearest(word, keys); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestUnreadableFile(t *testing.T) {
	_, err := Load("testdata/missing.yaml", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "testdata/missing.yaml") {
		t.Errorf("got %v", err)
	}
	_, err = Load("testdata", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "testdata") {
		t.Errorf("got %v", err)
	}
	_, err = loadBytes("large.yaml", []byte(strings.Repeat("# comment\n", maxFileBytes/10+1)))
	if err == nil || !strings.Contains(err.Error(), "1MiB") {
		t.Errorf("got %v", err)
	}
}

func TestMatchPath(t *testing.T) {
	for _, tt := range []struct {
		glob, path string
		want       bool
	}{
		{"/a/*.log", "/a/x.log", true},
		{"/a/*.log", "/a/b/x.log", false},
		{"/a/**/*.log", "/a/x.log", true},
		{"/a/**/*.log", "/a/b/c/x.log", true},
		{"/**", "/a/b", true},
		{"/a/**", "/b/c", false},
		{"/**/b/**", "/a/b/c/d", true},
		{"/a", "/a/b", false},
		{"/a/b", "/a", false},
		{"/**/**/**/x", "/y/y/y/y/y/y/y/y/y", false},
	} {
		if got := matchPath(pathParts(tt.glob), pathParts(tt.path)); got != tt.want {
			t.Errorf("matchPath(%s, %s) = %v", tt.glob, tt.path, got)
		}
	}
}
