package wire

import (
	"math"
	"strconv"
	"unicode/utf8"
)

// appendXML renders the children of the node at i, which is part of a document
// made by an Encoder, as elements: members by their names, items as "member".
func (d *document) appendXML(b []byte, i uint32, indent int) []byte {
	n := &d.nodes[i]
	switch n.kind {
	case nodeObject:
		for k := i + 1; k < n.next; k = d.nodes[k+1].next {
			b = d.appendElement(b, string(d.plainCopy(k)), k+1, indent)
		}
	case nodeList:
		for c := i + 1; c < n.next; c = d.nodes[c].next {
			b = d.appendElement(b, "member", c, indent)
		}
	}
	return b
}

func (d *document) appendElement(b []byte, name string, i uint32, indent int) []byte {
	n := &d.nodes[i]
	if n.kind == nodeNull {
		return b
	}
	b = openElement(b, name, indent)
	switch n.kind {
	case nodeObject, nodeList:
		b = append(b, '\n')
		b = d.appendXML(b, i, indent+1)
		return closeElement(b, name, indent)
	case nodeString:
		b = appendXMLText(b, d.plainCopy(i))
	case nodeBool:
		b = strconv.AppendBool(b, n.num != 0)
	case nodeInt:
		b = strconv.AppendInt(b, n.num, 10)
	case nodeFloat:
		b = strconv.AppendFloat(b, math.Float64frombits(uint64(n.num)), 'g', -1, 64)
	}
	return closeElement(b, name, 0)
}

func openElement(b []byte, name string, indent int) []byte {
	b = appendIndent(b, indent)
	b = append(b, '<')
	b = append(b, name...)
	return append(b, '>')
}

// closeElement ends an element and its line.
func closeElement(b []byte, name string, indent int) []byte {
	b = appendIndent(b, indent)
	b = append(b, '<', '/')
	b = append(b, name...)
	return append(b, '>', '\n')
}

func appendIndent(b []byte, indent int) []byte {
	for range indent {
		b = append(b, ' ', ' ')
	}
	return b
}

// appendLine renders an element that holds a text, on a line of its own.
func appendLine(b []byte, name, text string, indent int) []byte {
	b = openElement(b, name, indent)
	b = appendXMLText(b, []byte(text))
	return closeElement(b, name, 0)
}

// appendXMLText renders a text. What XML 1.0 cannot hold becomes U+FFFD.
func appendXMLText(b, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		text = text[size:]
		switch {
		case r == '<':
			b = append(b, "&lt;"...)
		case r == '>':
			b = append(b, "&gt;"...)
		case r == '&':
			b = append(b, "&amp;"...)
		case r == '"':
			b = append(b, "&quot;"...)
		case r == '\r':
			b = append(b, "&#xD;"...) // a bare one would be read as a line feed
		case r < ' ' && r != '\t' && r != '\n', r == 0xfffe, r == 0xffff:
			b = utf8.AppendRune(b, utf8.RuneError)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return b
}
