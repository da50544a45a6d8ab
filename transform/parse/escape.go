package parse

import (
	"strconv"
	"unicode/utf8"
)

// unescape decodes what Apache (ap_escape_logitem) and nginx write for bytes
// that would break a log line: \" \\ \b \f \n \r \t \v and \xhh. With unicode
// it decodes \uhhhh too, as the writers of logfmt use it. An escape it does
// not know stays as it is.
func unescape(s []byte, unicode bool) []byte {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		if s[i] != '\\' || i+1 == len(s) {
			b = append(b, s[i])
			i++
			continue
		}
		n := 2
		switch c := s[i+1]; c {
		case '"', '\\':
			b = append(b, c)
		case 'b':
			b = append(b, '\b')
		case 'f':
			b = append(b, '\f')
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case 't':
			b = append(b, '\t')
		case 'v':
			b = append(b, '\v')
		case 'x':
			if v, ok := hexValue(s[i+2:], 2); ok {
				b = append(b, byte(v))
				n = 4
			} else {
				b = append(b, '\\', c)
			}
		case 'u':
			if v, ok := hexValue(s[i+2:], 4); ok && unicode {
				b = utf8.AppendRune(b, rune(v))
				n = 6
			} else {
				b = append(b, '\\', c)
			}
		default:
			b = append(b, '\\', c)
		}
		i += n
	}
	return b
}

func hexValue(s []byte, n int) (uint64, bool) {
	if len(s) < n {
		return 0, false
	}
	for _, c := range s[:n] {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f') {
			return 0, false
		}
	}
	v, err := strconv.ParseUint(string(s[:n]), 16, 32)
	return v, err == nil
}
