package servers

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports come from below the range that kernels hand to outgoing connections
// (from 32768 on Linux, from 49152 elsewhere). A port from that range could be
// taken by a client's own end while its server is stopped, and a client that
// keeps dialling such a port can even connect to itself.
const (
	lowestPort  = 20000
	highestPort = 31999
	portTries   = 100
)

// given are the ports that this process has handed out: a server that is stopped
// for a moment must find its port free.
var given sync.Map

// FreePort gives a TCP port of 127.0.0.1 that nothing listens on and that it has
// not given before, picked at random so that test binaries that run side by side
// seldom meet. Another program may still take it before it is used: a start that
// meets that fails and says so.
func FreePort() (int, error) {
	var errs []error
	for range portTries {
		port := lowestPort + rand.IntN(highestPort-lowestPort+1)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("port %d: %w", port, err)
		}
		if _, before := given.LoadOrStore(port, true); !before {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1 between %d and %d after %d tries: %w",
		lowestPort, highestPort, portTries, errors.Join(errs...))
}
