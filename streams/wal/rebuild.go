package wal

// rebuilt tells that the snapshots were lost, and what was put in their place.
type rebuilt struct {
	why     string
	streams []string
}

// tell adds it to what a repair found.
func (r *rebuilt) tell(out *Repaired, _ *Log) error {
	if r != nil {
		out.Rebuilt, out.Streams = r.why, r.streams
	}
	return nil
}
