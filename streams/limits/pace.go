package limits

import "time"

// Pace holds one reader, to whom a shard gives its rate of bytes whatever
// others read, to that rate. It refuses nothing: the reader waits. It is used
// by one goroutine.
type Pace struct {
	limiter *Limiter
	stream  string
	bytes   bucket
}

// Pace returns the pace of a reader of a shard of the stream.
func (l *Limiter) Pace(stream string) *Pace { return &Pace{limiter: l, stream: stream} }

// Most returns how many bytes the reader should ask for at once, at most most.
func (p *Pace) Most(most int64) int64 {
	if rate := p.limiter.opt.Rates(p.stream).OutBytes; rate > 0 {
		return min(rate, most)
	}
	return most
}

// Took counts bytes that were read, and returns how long to wait before the
// next read. A second's share is there at the start.
func (p *Pace) Took(bytes int64) time.Duration {
	rate := p.limiter.opt.Rates(p.stream).OutBytes
	if rate == 0 {
		return 0
	}
	p.bytes.fill(rate, p.limiter.now())
	p.bytes.take(rate, bytes)
	if p.bytes.tokens >= 0 {
		return 0
	}
	return time.Duration(-p.bytes.tokens / float64(rate) * float64(time.Second))
}
