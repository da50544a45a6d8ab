package config

// Source is where the records of a delivery stream come from: exactly one of
// its keys.
type Source struct {
	// Records come through PutRecord and PutRecordBatch of the Firehose API. Write
	// {} for the defaults.
	DirectPut *DirectPut `key:"direct_put" choice:"source"`
	// Records are read from a stream.
	Stream *StreamSource `key:"stream" choice:"source"`
	// Lines are read from files as they grow.
	File *FileSource `key:"file" choice:"source"`
}

// DirectPut takes records through the Firehose API.
type DirectPut struct {
	// How long a record is kept for delivery and replay.
	Retention Duration `key:"retention" default:"24h" range:"1s..8760h"`
	// When records are acknowledged, and what a loss of power may cost: see `durability` of
	// a stream.
	Durability string `key:"durability" default:"fsync" enum:"fsync|interval|none"`
}

// StreamSource reads a stream. Its name alone will do: `stream: clicks`.
type StreamSource struct {
	_ struct{} `scalar:"field:name"`
	// Stream to read: one under streams, or one that is made through the API later.
	Name string `key:"name" required:"yes" match:"^[a-zA-Z0-9_.-]{1,128}$" shape:"a stream name: 1 to 128 letters, digits, _ . or -"`
	// Where a new delivery stream begins: horizon is the oldest record there is, latest
	// only what arrives from then on.
	Start string `key:"start" default:"horizon" enum:"horizon|latest"`
}

// FileSource follows text files, one record a line, through rotation and
// restarts.
type FileSource struct {
	// Files to follow, as globs: * and ? stay inside one name, ** spans folders.
	// Relative paths start at the working directory. Compressed files (.gz, .zst, .bz2,
	// .xz, .zip) are left out.
	Include []string `key:"include" required:"yes"`
	// Files to leave out, as globs.
	Exclude []string `key:"exclude"`
	// Where a file begins that is seen for the first time.
	Start string `key:"start" default:"beginning" enum:"beginning|end"`
	// Joins lines that belong together, such as a stack trace.
	Multiline *Multiline `key:"multiline"`
	// A longer line, or a longer record of several lines, is cut here and counted.
	MaxLine Bytes `key:"max_line" default:"1MiB" range:"256B..10MiB"`
	// How often folders are looked through for new files and files for new lines, where
	// the system does not tell of them.
	Poll Duration `key:"poll" default:"1s" range:"10ms..1h"`
	// A file that was renamed or deleted is read to its end, and closed once nothing came
	// for this long.
	CloseDeletedAfter Duration `key:"close_deleted_after" default:"1m" range:"100ms..24h"`
	// Most bytes of lines that are made durable in one step.
	MaxBatch Bytes `key:"max_batch" default:"1MiB" range:"4KiB..16MiB"`
	// Most files followed at once; the rest wait for their turn.
	MaxFiles int `key:"max_files" default:"1000" range:"1..100000"`
	// How long a record is kept for delivery and replay.
	Retention Duration `key:"retention" default:"24h" range:"1s..8760h"`
}

// Multiline joins lines to records.
type Multiline struct {
	// A line that matches this regular expression (RE2) begins a record; lines that do
	// not match belong to the one before.
	StartPattern string `key:"start_pattern" required:"yes"`
	// A record ends after so many lines.
	MaxLines int `key:"max_lines" default:"1000" range:"2..100000"`
	// A record ends when no line came for this long.
	Timeout Duration `key:"timeout" default:"1s" range:"10ms..10m"`
}
