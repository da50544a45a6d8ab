package expression

import (
	"errors"

	"github.com/firehosed/firehosed/leases"
)

// NumberMessage returns the text for a number that cannot be kept.
func NumberMessage(err error) string {
	switch {
	case errors.Is(err, leases.ErrOverflow):
		return "Number overflow. Attempting to store a number with magnitude larger than supported range"
	case errors.Is(err, leases.ErrUnderflow):
		return "Number underflow. Attempting to store a number with magnitude smaller than supported range"
	case errors.Is(err, leases.ErrPrecision):
		return "Attempting to store more than 38 significant digits in a Number"
	}
	return "The parameter cannot be converted to a numeric value"
}
