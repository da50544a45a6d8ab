package transform

// Member is one member of a JSON object.
type Member struct {
	Key   string
	Value any
	Raw   []byte // the value as it was written
}

// Members decodes a JSON object and keeps the order and the text of its
// members, which a map does not. Of keys that occur twice the last value
// stands at the place of the first. The error is a *SyntaxError, also if the
// value is no object.
func Members(b []byte) ([]Member, error) {
	d := decoder{s: string(b)}
	d.space()
	if d.i >= len(d.s) || d.s[d.i] != '{' {
		return nil, d.fail(d.i, "%s where an object should start", d.found())
	}
	if err := d.enter(); err != nil {
		return nil, err
	}
	var ms []Member
	if d.i < len(d.s) && d.s[d.i] == '}' {
		d.i++
		return ms, d.end()
	}
	at := make(map[string]int)
	for {
		k, err := d.key()
		if err != nil {
			return nil, err
		}
		start := d.i
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		m := Member{Key: k, Value: v, Raw: b[start:d.i:d.i]}
		if i, ok := at[k]; ok {
			ms[i] = m
		} else {
			at[k] = len(ms)
			ms = append(ms, m)
		}
		if end, err := d.next('}'); err != nil {
			return nil, err
		} else if end {
			return ms, d.end()
		}
	}
}
