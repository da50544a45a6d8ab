// Package servers runs real programs beside a test: each as a child process in
// a process group of its own, on a loopback port, with its output in a file.
//
// A [Process] can be stopped, killed and started again any number of times on
// the same data, which is what tests of a destination that goes away need. It
// never outlives its owner: Close kills the whole group, and on Linux the
// kernel kills the child when the test binary dies by itself.
//
// Packages versity and opensearch build on it. This package knows no protocol
// of the programs that it runs, fetches nothing and builds nothing: setup.sh in
// the parent folder does that.
package servers
