package main

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"
)

// reservePort takes a free port of 127.0.0.1 and keeps it until it is let go.
// Between two daemons, and before the first, the system gives it to nobody else:
// not to a listener that asks for any port, and not to an outgoing connection,
// of which a client that asks whether the daemon is there yet makes many. A
// daemon that asks for this port gets it, because both sockets have
// SO_REUSEADDR, as all that listen have in Go, and only one listens.
func reservePort() (port string, letGo func(), err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("socket: %w", err)
	}
	letGo = func() { _ = unix.Close(fd) } // nothing was sent over it
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
	)
	if err != nil {
		letGo()
		return "", nil, fmt.Errorf("bind: %w", err)
	}
	addr, err := unix.Getsockname(fd)
	if err != nil {
		letGo()
		return "", nil, fmt.Errorf("getsockname: %w", err)
	}
	return strconv.Itoa(addr.(*unix.SockaddrInet4).Port), letGo, nil
}
