package config

// Format is what objects look like inside: exactly one of its keys, or its name
// alone.
type Format struct {
	_ struct{} `scalar:"choice" later:"orc|avro"`
	// One JSON value a line.
	NDJSON *NDJSON `key:"ndjson" choice:"format"`
	// The bytes of the records, one after the other.
	Raw *Raw `key:"raw" choice:"format"`
	// Text with a column for each named field.
	CSV *CSV `key:"csv" choice:"format"`
	// Apache Parquet.
	Parquet *Parquet `key:"parquet" choice:"format"`
}

// NDJSON has no settings: write {}.
type NDJSON struct{}

// Raw writes the bytes of the records as they are.
type Raw struct {
	// Text added after each record. "" adds nothing, as Firehose does: the records then
	// have to bring their own.
	Delimiter string `key:"delimiter" default:"\n" match:"^[\\s\\S]{0,16}$" shape:"at most 16 characters"`
}

// CSV writes the named fields of JSON records.
type CSV struct {
	// Fields to write, in their order.
	Columns []string `key:"columns" required:"yes"`
	// Whether the first line of an object names the columns.
	Header bool `key:"header" default:"true"`
	// Character between columns.
	Delimiter string `key:"delimiter" default:","`
	// Whether lines end with CR LF instead of LF.
	CRLF bool `key:"crlf" default:"false"`
}

// Parquet writes JSON records in columns.
type Parquet struct {
	// Compression inside the file.
	Compression string `key:"compression" default:"zstd" enum:"none|snappy|zstd|gzip"`
	// Columns of the file.
	Schema Schema `key:"schema" otherwise:"inferred"`
	// Bytes of one row group in memory.
	RowGroupSize Bytes `key:"row_group_size" default:"64MiB" range:"1MiB..1GiB"`
	// Bytes of one page.
	PageSize Bytes `key:"page_size" default:"1MiB" range:"4KiB..64MiB"`
	// Finds the fields of declared columns in any case.
	CaseInsensitive bool `key:"case_insensitive" default:"false"`
	// Column that keeps, as the text of a JSON object, the fields that the schema has no
	// column for. Without it a declared schema leaves them out, and an inferred one, which
	// is at its limit of columns then, calls it _extra.
	ExtraColumn string `key:"extra_column" match:"^[^\\x00-\\x1f]{1,128}$" shape:"1 to 128 printable characters"`
}

// Schema is `inferred`, or the columns. An inferred schema is kept for the
// delivery stream and only ever widens, so that all its files fit together.
type Schema struct {
	_ struct{} `scalar:"words:inferred"`
	// Declared columns, in their order.
	Columns []Column `key:"columns" required:"yes"`
}

// Inferred reports whether the schema is found from the records.
func (s Schema) Inferred() bool { return len(s.Columns) == 0 }

// Column is one declared column.
type Column struct {
	// Name in the file.
	Name string `key:"name" required:"yes" match:"^[^\\x00-\\x1f]{1,255}$" shape:"1 to 255 printable characters"`
	// Type of its values, as in Hive and the Glue catalog: boolean, tinyint, smallint, int,
	// bigint, float, double, decimal(p,s), string, binary, timestamp, date, json,
	// array<type>, map<primitive,type>, struct<name:type,...>.
	Type string `key:"type" required:"yes"`
	// Field of the record, if that has another name than the column.
	Key string `key:"key"`
	// Whether a record may lack it. A record that lacks another one fails.
	Optional bool `key:"optional" default:"true"`
}

// Kind names the format: ndjson, raw, csv or parquet.
func (f Format) Kind() string {
	switch {
	case f.Raw != nil:
		return "raw"
	case f.CSV != nil:
		return "csv"
	case f.Parquet != nil:
		return "parquet"
	default:
		return "ndjson"
	}
}
