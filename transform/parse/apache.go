package parse

import (
	"bytes"
	"strconv"
	"time"

	"github.com/firehosed/firehosed/transform"
)

// apache is the combined log format of Apache httpd and nginx,
//
//	%h %l %u %t "%r" %>s %b "%{Referer}i" "%{User-agent}i"
//
// and the common log format, which ends after %b; referer and agent are null
// then. A field of "-" is null. The keys are always the same:
//
//	host ident authuser datetime timestamp request method path protocol status bytes referer agent
//
// datetime is as it stands in the line, timestamp the same in RFC 3339 and UTC.
// method, path and protocol are null where the request is not one of HTTP,
// protocol alone for HTTP/0.9; request is always the whole. A line that was cut
// inside of the agent is taken with what there is.
type apache struct{}

func (apache) names() []string {
	return []string{
		"host", "ident", "authuser", "datetime", "timestamp", "request", "method",
		"path", "protocol", "status", "bytes", "referer", "agent",
	}
}

func (apache) members(dst, s []byte) ([]byte, mismatch) {
	if n := bytes.IndexByte(s, '\n'); n >= 0 {
		return dst, mismatch{n, "more than one line"}
	}
	hostEnd := bytes.IndexByte(s, ' ')
	if hostEnd <= 0 {
		return dst, mismatch{0, "no client address with a space behind it"}
	}
	i := hostEnd + 1
	n := bytes.IndexByte(s[i:], ' ')
	if n <= 0 {
		return dst, mismatch{i, "no identity with a space behind it"}
	}
	dst = append(dst, `"host":`...)
	dst = appendText(dst, s[:hostEnd])
	dst = append(dst, `,"ident":`...)
	dst = appendText(dst, s[i:i+n])
	i += n + 1

	dst, i, bad := appendUserTime(dst, s, i)
	if bad.why != "" {
		return dst, bad
	}
	if !bytes.HasPrefix(s[i:], []byte(` "`)) {
		return dst, mismatch{i, "no quoted request after the time"}
	}
	i += 2
	n, escaped := quoteEnd(s[i:], statusFollows)
	if n < 0 {
		return dst, mismatch{i, "no end of the request with a status behind it"}
	}
	dst = appendRequest(dst, s[i:i+n], escaped)
	i += n + 2

	if dst, i, bad = appendStatusBytes(dst, s, i); bad.why != "" {
		return dst, bad
	}
	if i == len(s) {
		return append(dst, `,"referer":null,"agent":null`...), mismatch{}
	}
	if !bytes.HasPrefix(s[i:], []byte(` "`)) {
		return dst, mismatch{i, "no quoted referer after the bytes"}
	}
	i += 2
	if n, escaped = quoteEnd(s[i:], quoteFollows); n < 0 {
		return dst, mismatch{i, "no end of the referer with a quoted agent behind it"}
	}
	dst = append(dst, `,"referer":`...)
	dst = appendQuoted(dst, s[i:i+n], escaped)
	i += n + 3

	end := len(s)
	if n, escaped = quoteEnd(s[i:], nothingJoins); n >= 0 {
		if end = i + n; end+1 < len(s) {
			return dst, mismatch{end + 1, "text after the agent"}
		}
	}
	dst = append(dst, `,"agent":`...)
	return appendQuoted(dst, s[i:end], escaped), mismatch{}
}

// appendUserTime takes the user, which may hold spaces, and the time in
// brackets that ends it.
func appendUserTime(dst, s []byte, i int) ([]byte, int, mismatch) {
	const length = len("02/Jan/2006:15:04:05 -0700")
	why := "no time in brackets"
	for at := i; ; {
		n := bytes.Index(s[at:], []byte(" ["))
		if n < 0 {
			return dst, i, mismatch{at, why}
		}
		at += n
		if len(s) < at+2+length+1 || s[at+2+length] != ']' {
			at += 2
			why = "no time like [02/Jan/2006:15:04:05 -0700]"
			continue
		}
		stamp := s[at+2 : at+2+length]
		user := s[i:at]
		mark := len(dst)
		dst = append(dst, `,"authuser":`...)
		if string(user) == `""` { // how Apache writes an empty name
			dst = append(dst, user...)
		} else {
			dst = appendText(dst, user)
		}
		dst = append(dst, `,"datetime":"`...)
		dst = append(dst, stamp...)
		dst = append(dst, `","timestamp":"`...)
		var ok bool
		if dst, ok = appendTime(dst, stamp); !ok {
			dst = dst[:mark]
			at += 2
			why = "no time like [02/Jan/2006:15:04:05 -0700]"
			continue
		}
		if bytes.HasPrefix(user, []byte("- ")) {
			return dst, i, mismatch{i, "more than three fields before the time (a virtual host in front?)"}
		}
		return append(dst, '"'), at + 2 + length + 1, mismatch{}
	}
}

// quoteEnd returns where the quote is that ends a quoted field, or -1, and
// whether the field has escapes. Quotes inside are escaped by servers, but not
// by all that imitate them, so ends looks at what follows.
func quoteEnd(s []byte, ends func(rest []byte) bool) (n int, escaped bool) {
	for i := 0; ; {
		n := bytes.IndexByte(s[i:], '"')
		if n < 0 {
			return -1, escaped || bytes.IndexByte(s, '\\') >= 0
		}
		if b := bytes.IndexByte(s[i:i+n], '\\'); b >= 0 {
			escaped = true
			if i += b + 2; i > len(s) {
				return -1, true
			}
			continue
		}
		if i += n; ends(s[i+1:]) {
			return i, escaped
		}
		i++
	}
}

func statusFollows(rest []byte) bool {
	return len(rest) >= 2 && rest[0] == ' ' && (rest[1] == '-' || '0' <= rest[1] && rest[1] <= '9')
}

func quoteFollows(rest []byte) bool { return bytes.HasPrefix(rest, []byte(` "`)) }

// nothingJoins takes a quote with a space behind it as the end: what comes then
// is another field, which the caller refuses.
func nothingJoins(rest []byte) bool { return len(rest) == 0 || rest[0] == ' ' }

func appendText(dst, s []byte) []byte {
	if len(s) == 1 && s[0] == '-' {
		return append(dst, "null"...)
	}
	return transform.AppendString(dst, s)
}

func appendQuoted(dst, s []byte, escaped bool) []byte {
	if escaped {
		return transform.AppendString(dst, unescape(s, false))
	}
	return appendText(dst, s)
}

func appendRequest(dst, s []byte, escaped bool) []byte {
	dst = append(dst, `,"request":`...)
	dst = appendQuoted(dst, s, escaped)
	if escaped {
		s = unescape(s, false)
	}
	method, path, protocol := splitRequest(s)
	if method == nil {
		return append(dst, `,"method":null,"path":null,"protocol":null`...)
	}
	dst = append(dst, `,"method":`...)
	dst = transform.AppendString(dst, method)
	dst = append(dst, `,"path":`...)
	dst = transform.AppendString(dst, path)
	if protocol == nil {
		return append(dst, `,"protocol":null`...)
	}
	dst = append(dst, `,"protocol":`...)
	return transform.AppendString(dst, protocol)
}

// splitRequest returns nothing for a request line that is none.
func splitRequest(s []byte) (method, path, protocol []byte) {
	m := bytes.IndexByte(s, ' ')
	if m <= 0 {
		return nil, nil, nil
	}
	for _, c := range s[:m] {
		if !('A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || c == '-' || c == '_') {
			return nil, nil, nil
		}
	}
	rest := s[m+1:]
	p := bytes.LastIndexByte(rest, ' ')
	if p < 0 && len(rest) > 0 && (rest[0] == '/' || bytes.Contains(rest, []byte("://"))) {
		return s[:m], rest, nil // HTTP/0.9
	}
	if p <= 0 || !bytes.HasPrefix(rest[p+1:], []byte("HTTP/")) {
		return nil, nil, nil
	}
	return s[:m], rest[:p], rest[p+1:]
}

// appendStatusBytes takes both numbers and the space between.
func appendStatusBytes(dst, s []byte, i int) ([]byte, int, mismatch) {
	n := bytes.IndexByte(s[i:], ' ')
	if n < 0 {
		return dst, i, mismatch{i, "no bytes after the status"}
	}
	dst = append(dst, `,"status":`...)
	dst, ok := appendNumber(dst, s[i:i+n], 3)
	if !ok || n == 2 || n == 1 && s[i] != '-' {
		return dst, i, mismatch{i, "status is no number of three digits"}
	}
	i += n + 1
	end := len(s)
	if n := bytes.IndexByte(s[i:], ' '); n >= 0 {
		end = i + n
	}
	dst = append(dst, `,"bytes":`...)
	if dst, ok = appendNumber(dst, s[i:end], 18); !ok {
		return dst, i, mismatch{i, "bytes is no number"}
	}
	return dst, end, mismatch{}
}

// appendNumber takes "-" or up to most digits; most is below what overflows.
func appendNumber(dst, s []byte, most int) ([]byte, bool) {
	if len(s) == 1 && s[0] == '-' {
		return append(dst, "null"...), true
	}
	if len(s) == 0 || len(s) > most {
		return dst, false
	}
	var v int64
	for _, c := range s {
		if c < '0' || c > '9' {
			return dst, false
		}
		v = v*10 + int64(c-'0')
	}
	return strconv.AppendInt(dst, v, 10), true
}

// appendTime takes 02/Jan/2006:15:04:05 -0700 and appends RFC 3339 in UTC.
func appendTime(dst, s []byte) ([]byte, bool) {
	if s[2] != '/' || s[6] != '/' || s[11] != ':' || s[14] != ':' || s[17] != ':' || s[20] != ' ' || s[21] != '+' && s[21] != '-' {
		return dst, false
	}
	month := monthOf(s[3:6])
	day, ok1 := digits(s[0:2])
	year, ok2 := digits(s[7:11])
	hour, ok3 := digits(s[12:14])
	minute, ok4 := digits(s[15:17])
	second, ok5 := digits(s[18:20])
	offset, ok6 := digits(s[22:26])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || month == 0 ||
		day == 0 || day > daysIn(month, year) || hour > 23 || minute > 59 || second > 60 || offset%100 > 59 || offset > 2359 {
		return dst, false
	}
	if offset == 0 && second < 60 {
		m := byte(month)
		dst = append(dst, s[7:11]...)
		dst = append(dst, '-', '0'+m/10, '0'+m%10, '-', s[0], s[1], 'T')
		dst = append(dst, s[12:20]...)
		return append(dst, 'Z'), true
	}
	east := time.Duration(offset/100)*time.Hour + time.Duration(offset%100)*time.Minute
	if s[21] == '-' {
		east = -east
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC).Add(-east)
	if t.Year() < 0 || t.Year() > 9999 { // RFC 3339 has four digits
		return dst, false
	}
	return t.AppendFormat(dst, time.RFC3339), true
}

func digits(s []byte) (int, bool) {
	v := 0
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + int(c-'0')
	}
	return v, true
}

func monthOf(s []byte) int {
	switch string(s) {
	case "Jan":
		return 1
	case "Feb":
		return 2
	case "Mar":
		return 3
	case "Apr":
		return 4
	case "May":
		return 5
	case "Jun":
		return 6
	case "Jul":
		return 7
	case "Aug":
		return 8
	case "Sep":
		return 9
	case "Oct":
		return 10
	case "Nov":
		return 11
	case "Dec":
		return 12
	}
	return 0
}

func daysIn(month, year int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}
