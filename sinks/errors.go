package sinks

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Class says what an error asks of the caller.
type Class uint8

const (
	// Retry asks to try again after a pause: a refused connection, a reset, a
	// timeout, a 5xx, anything not known better.
	Retry Class = iota
	// Fix means that an operator has to act: credentials, permission, a missing
	// bucket or index, a full disk. The caller keeps everything, says so loudly
	// and goes on trying, slowly.
	Fix
	// Refuse means that the destination will never take these bytes: a mapping
	// error, a document too large. The caller sends them to the error output.
	Refuse
)

func (c Class) String() string {
	switch c {
	case Fix:
		return "fix"
	case Refuse:
		return "refuse"
	default:
		return "retry"
	}
}

// Error is a classed error of a destination.
type Error struct {
	Class Class
	// Code is the destination's own word or number for it ("AccessDenied",
	// "429"); it stands in error records.
	Code string
	// After is how long the destination asked us to wait, or 0.
	After time.Duration
	Err   error
}

func (e *Error) Error() string {
	if e.Code == "" {
		return e.Err.Error()
	}
	return e.Code + ": " + e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of an error: that of the *Error in its chain, or
// Retry.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Retry
}

// PartialError tells which documents of a batch were not taken, and why. The
// documents it does not name are stored.
type PartialError struct {
	Failed map[int]*Error // by index in the batch
}

func (e *PartialError) Error() string {
	for i, err := range e.Failed {
		if len(e.Failed) == 1 {
			return fmt.Sprintf("document %d: %v", i, err)
		}
		return fmt.Sprintf("%d documents not taken, one of them (%d): %v", len(e.Failed), i, err)
	}
	return "no document failed"
}

// MaxRetryAfter bounds Error.After: a destination cannot ask for more.
const MaxRetryAfter = time.Hour

// RetryAfter reads the header Retry-After of an HTTP answer, in seconds or as a
// date, for Error.After: 0 if it is not there or not valid, at most
// MaxRetryAfter.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if v == "" {
		return 0
	}
	var d time.Duration
	if s, err := strconv.ParseUint(v, 10, 32); err == nil {
		d = time.Duration(s) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), MaxRetryAfter)
}
