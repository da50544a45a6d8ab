package firehose

import (
	"strings"
)

// refusedLetters are letters that no timestamp pattern may have outside
// quotes: the real service reads patterns as Joda time does.
const refusedLetters = "CIJPRTUVbfijloprt"

const maxEvaluatedPrefix = 512

// checkPrefixes checks the expressions of a pair of prefixes.
func checkPrefixes(prefix, errorPrefix string) error {
	p, err := readPrefix(prefix)
	if err != nil {
		return err
	}
	e, err := readPrefix(errorPrefix)
	if err != nil {
		return err
	}
	switch {
	case p.errorType:
		return invalid("Prefix must not contain any occurrence of !{firehose:error-output-type}")
	case p.expressions && errorPrefix == "":
		return invalid("Ths supplied prefix(es) do not satisfy the following constraint: " +
			"ErrorOutputPrefix cannot be null or empty when Prefix contains expressions")
	case e.partition:
		return invalid("Dynamic Partitioning Namespaces can't be part of an error prefix expression")
	case e.expressions && !e.errorType:
		return invalid("ErrorOutputPrefix must contain at least one occurrence of !{firehose:error-output-type}")
	case p.partition:
		return invalid("Dynamic Partitioning Namespaces can only be part of a prefix when Dynamic Partitioning is enabled")
	case p.literal > maxEvaluatedPrefix:
		return invalid("Length of evaluated prefix cannot be greater than %d", maxEvaluatedPrefix)
	case e.literal > maxEvaluatedPrefix:
		return invalid("Length of evaluated ErrorOutputPrefix cannot be greater than %d", maxEvaluatedPrefix)
	}
	return nil
}

// prefixFacts is what a check needs to know of a prefix.
type prefixFacts struct {
	expressions bool
	errorType   bool
	partition   bool
	literal     int // bytes outside of expressions
}

func readPrefix(s string) (prefixFacts, error) {
	var f prefixFacts
	for {
		before, rest, found := strings.Cut(s, "!{")
		f.literal += len(before)
		if !found {
			return f, nil
		}
		expr, after, closed := strings.Cut(rest, "}")
		if !closed {
			return f, badExpression()
		}
		f.expressions = true
		s = after
		namespace, value, _ := strings.Cut(expr, ":")
		switch namespace {
		case "timestamp":
			if value == "" || !timestampPattern(value) {
				return f, badExpression()
			}
		case "firehose":
			switch value {
			case "random-string":
			case "error-output-type":
				f.errorType = true
			default:
				return f, badExpression()
			}
		case "partitionKeyFromQuery", "partitionKeyFromLambda":
			f.partition = true
		default:
			return f, badExpression()
		}
	}
}

func badExpression() error {
	return invalid("Invalid conversion character used in the value of the expression in Prefix")
}

// timestampPattern reports whether a pattern has only letters that are known,
// and closes its quotes.
func timestampPattern(s string) bool {
	quoted := false
	for _, c := range s {
		if c == '\'' {
			quoted = !quoted
		}
		if !quoted && strings.ContainsRune(refusedLetters, c) {
			return false
		}
	}
	return !quoted
}
