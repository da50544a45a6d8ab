package config

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// output is one place that the daemon writes objects to.
type output struct {
	at       string   // its path in the file
	errors   bool     // an error output: several may share one place
	place    string   // what two outputs must not have in common
	dir      string   // absolute directory, for Dir
	root     []string // its parts, and those of the folders in it that all objects have in common
	suffixes []string // how the names of objects may end
}

// outputs checks that no two outputs write to the same place, that none writes
// into the data directory, and that no file source follows what is written.
func (k *checker) outputs() {
	var all []output
	for _, name := range k.c.deliveryNames() {
		all = append(all, k.outputsOf(name, k.c.DeliveryStreams[name])...)
	}
	dataDir := absolute(k.c.DataDir)
	first := map[string]output{}
	for _, o := range all {
		if o.dir != "" && (o.dir == dataDir || strings.HasPrefix(o.dir, withSlash(dataDir))) {
			k.report(o.at+".path", "lies in data_dir, which belongs to the daemon alone; choose another directory")
		}
		other, taken := first[o.place]
		if !taken {
			first[o.place] = o
			continue
		}
		if !o.errors || !other.errors {
			there := k.c.problemAt(other.at, "")
			k.report(o.at, "writes to the same place as %s in line %d; give one of them another %s",
				other.at, there.Line, map[bool]string{true: "path or prefix", false: "bucket or prefix"}[o.dir != ""])
		}
	}
	all = append(all, output{at: "data_dir", dir: dataDir, root: pathParts(dataDir), suffixes: []string{"", ".journal", ".seg", ".wal", ".json"}})
	left := maxComparisons
	for _, name := range k.c.deliveryNames() {
		if f := k.c.DeliveryStreams[name].Source.File; f != nil {
			k.loops(Path("delivery_streams", name, "source", "file"), f, all, &left)
		}
	}
}

// maxComparisons bounds how many globs are compared in full with how many
// outputs: enough for a hundred of each, and half a second at most.
const maxComparisons = 10_000

// outputsOf lists what a delivery stream writes to.
func (k *checker) outputsOf(name string, s *DeliveryStream) []output {
	at := Path("delivery_streams", name)
	suffixes := objectSuffixes(&s.Format, s.Compression)
	var list []output
	add := func(at string, s3 *S3, dir *Dir, suffixes []string, errors bool) {
		if s3 != nil && s3.Bucket != "" {
			endpoint := strings.ToLower(strings.TrimRight(s3.Endpoint, "/"))
			list = append(list, output{at: at + ".s3", errors: errors, place: "s3 " + endpoint + "/" + s3.Bucket + "/" + s3.Prefix})
		}
		if dir != nil && dir.Path != "" {
			abs := absolute(dir.Path)
			if dir.Extension != "" {
				suffixes = []string{dir.Extension}
			}
			list = append(list, output{at: at + ".dir", errors: errors, place: "dir " + withSlash(abs) + dir.Prefix, dir: abs, root: pathParts(withSlash(abs) + literalFolder(dir.Prefix)), suffixes: suffixes})
		}
	}
	add(at+".destination", s.Destination.S3, s.Destination.Dir, suffixes, false)
	if k.c.Given(at + ".errors") {
		add(at+".errors", s.Errors.S3, s.Errors.Dir, objectSuffixes(nil, s.Errors.Compression), true)
	} else if s.Destination.Dir != nil {
		// Below the destination, in a folder of its own.
		add(at+".destination", nil, s.Errors.Dir, objectSuffixes(nil, "none"), true)
	}
	if s.Backup != nil {
		add(at+".backup", s.Backup.S3, s.Backup.Dir, objectSuffixes(nil, s.Backup.Compression), false)
	}
	return list
}

// objectSuffixes lists how the names of objects may end that a file source
// could follow; it leaves compressed files alone. Without a format the objects
// are text.
func objectSuffixes(f *Format, compression string) []string {
	switch {
	case f != nil && f.Parquet != nil:
		return []string{".parquet"}
	case compression == "gzip", compression == "zstd":
		return nil
	}
	var list []string
	for _, s := range []string{"", ".ndjson", ".json", ".csv", ".txt"} {
		if strings.HasPrefix(compression, "snappy") {
			s += ".snappy"
		}
		list = append(list, s)
	}
	return list
}

// loops finds include globs that would follow what a delivery stream or the
// daemon itself writes: each record would come back for ever.
func (k *checker) loops(at string, f *FileSource, outputs []output, left *int) {
	var exclude [][]string
	for _, g := range f.Exclude {
		exclude = append(exclude, pathParts(absolute(g)))
	}
	for i, include := range f.Include {
		if include == "" {
			continue
		}
		glob := pathParts(absolute(include))
		literal := slices.IndexFunc(glob, func(part string) bool { return strings.ContainsAny(part, `*?[\`) })
		if literal < 0 {
			literal = len(glob)
		}
		for _, o := range outputs {
			if o.dir == "" || *left == 0 || !mayReach(glob, literal, o.root) {
				continue
			}
			if *left--; !o.read(glob, exclude) {
				continue
			}
			p := pathIndex(at+".include", i)
			k.report(p, "%s matches what %s writes, so that records would come back; narrow it, or name the directory under exclude",
				k.show(p, include), o.at)
			break
		}
	}
}

// read reports whether a glob reads an object of the output at any usual depth.
func (o output) read(glob []string, exclude [][]string) bool {
	const depth = 8
	for _, suffix := range o.suffixes {
		parts := o.root[:len(o.root):len(o.root)]
		for range depth {
			object := append(parts[:len(parts):len(parts)], "name-1-2026-08-01-10-00-00-0123456789abcdef"+suffix)
			excluded := false
			for _, e := range exclude {
				excluded = excluded || matchPath(e, object)
			}
			if !excluded && matchPath(glob, object) {
				return true
			}
			parts = append(parts, "2026")
		}
	}
	return false
}

// mayReach reports whether a glob can match something below a directory, by
// looking at the parts of the two that face each other. The first parts of the
// glob, as many as literal says, are plain names. It spares nearly all pairs of
// a large file the full comparison.
func mayReach(glob []string, literal int, dir []string) bool {
	for i, part := range dir {
		if i >= len(glob) {
			return false
		}
		if i < literal {
			if glob[i] != part {
				return false
			}
			continue
		}
		if glob[i] == "**" {
			return true
		}
		if ok, err := path.Match(glob[i], part); err != nil || !ok {
			return false
		}
	}
	return true
}

// absolute makes a path absolute and clean. If the working directory is
// unknown, clean has to do.
func absolute(name string) string {
	abs, err := filepath.Abs(name)
	if err != nil {
		abs = filepath.Clean(name)
	}
	return filepath.ToSlash(abs)
}

func pathParts(name string) []string { return strings.Split(strings.Trim(name, "/"), "/") }

func withSlash(name string) string { return strings.TrimSuffix(name, "/") + "/" }
