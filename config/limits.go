package config

// Limits are the most that each shard of a stream takes and gives in a second.
// What is over them is refused with ProvisionedThroughputExceededException, as
// the real service does it: record by record in PutRecords. Deliveries and
// sources inside the daemon are not limited. A record or read that is larger
// than the share of a second is let through, and nothing more until its excess
// is paid back.
type Limits struct {
	_ struct{} `scalar:"field:like"`
	// Where numbers that are not given here come from: none is no limit, aws is 1 MiB
	// and 1,000 records in, 2 MiB and 5 reads out.
	Like string `key:"like" default:"none" enum:"none|aws"`
	// Bytes of data and partition keys that are put.
	InBytes Bytes `key:"in_bytes" range:"1KiB..1TiB" otherwise:"as like says"`
	// Records that are put.
	InRecords int `key:"in_records" range:"1..1000000000" otherwise:"as like says"`
	// Bytes of data and partition keys that are read.
	OutBytes Bytes `key:"out_bytes" range:"1KiB..1TiB" otherwise:"as like says"`
	// Calls of GetRecords.
	OutCalls int `key:"out_calls" range:"1..1000000" otherwise:"as like says"`
}

// complete fills in the numbers that are not given. What is 0 afterwards is not
// limited.
func (l *Limits) complete() {
	if l.Like != "aws" {
		return
	}
	aws := Limits{InBytes: 1 << 20, InRecords: 1000, OutBytes: 2 << 20, OutCalls: 5}
	if l.InBytes == 0 {
		l.InBytes = aws.InBytes
	}
	if l.InRecords == 0 {
		l.InRecords = aws.InRecords
	}
	if l.OutBytes == 0 {
		l.OutBytes = aws.OutBytes
	}
	if l.OutCalls == 0 {
		l.OutCalls = aws.OutCalls
	}
}
