//go:build !race

package wal

// raceDetector tells tests of allocations that pools forget things at random.
const raceDetector = false
