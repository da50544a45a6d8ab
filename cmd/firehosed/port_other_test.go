//go:build !linux

package main

import (
	"errors"
	"net"
)

// reservePort finds a free port of 127.0.0.1. Elsewhere than on Linux nothing
// keeps others from taking it before the daemon does.
func reservePort() (port string, letGo func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	_, port, err = net.SplitHostPort(l.Addr().String())
	return port, func() {}, errors.Join(err, l.Close())
}
