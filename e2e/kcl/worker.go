package kcl

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/firehosed/firehosed/e2e/servers"
)

const (
	heapMiB = 320
	// Graceful shutdown of KCL waits for all record processors.
	stopTimeout = 2 * time.Minute
)

// Worker is a process of an application.
type Worker struct {
	*servers.Process

	Name string
	file string
}

// Spec says which worker to start.
type Spec struct {
	Version     string // kcl3 or kcl2, a module of e2e/java
	Application string
	Stream      string
	Mode        string // fanout or polling
	Name        string
	Dir         string   // for its files
	Env         []string // the endpoint and the keys
}

// Start runs a worker. It does not wait until it has a lease.
func Start(ctx context.Context, s Spec) (*Worker, error) {
	java, options, err := servers.JavaModule(s.Version, heapMiB)
	if err != nil {
		return nil, err
	}
	w := &Worker{Name: s.Name, file: filepath.Join(s.Dir, s.Name+".journal")}
	w.Process, err = servers.Launch(ctx, servers.Spec{
		Name: "worker " + s.Name, Path: java,
		// Who leads and what it assigns is worth a look when a worker stays idle.
		Args: append(options, "-Dorg.slf4j.simpleLogger.log.software.amazon.kinesis.coordinator=info", "kcl.Worker", s.Application, s.Name, s.Stream, s.Mode, w.file),
		Env:  append(servers.WithoutJavaOptions(os.Environ()), s.Env...),
		Dir:  s.Dir, LogFile: filepath.Join(s.Dir, s.Name+".log"), StopTimeout: stopTimeout,
	})
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Events are what the worker has done until now.
func (w *Worker) Events() ([]Event, error) { return Events(w.Name, w.file) }
