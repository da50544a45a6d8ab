// Package harness runs the real program for the black-box tests: it builds it
// once, writes its configuration, starts, kills and stops it, and reads what
// anybody could read from outside: health, metrics, its log, /proc, and the
// answers to unmodified AWS clients.
//
// It imports nothing of the main module, and no test logic lives here.
package harness
