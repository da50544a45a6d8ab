package e2e

import (
	"os/exec"
	"testing"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/servers"
)

// javaDrivers use the SDKs for Java. One process goes through the scenario for
// all ways to connect at once.
func javaDrivers() []harness.Driver {
	rows := func(client string, protocols ...string) []harness.Row {
		var rows []harness.Row
		for _, protocol := range protocols {
			rows = append(rows, harness.Row{Client: client, Protocol: protocol})
		}
		return rows
	}
	return []harness.Driver{
		{
			Name:    "java-sdk2-sync",
			Rows:    rows("AWS SDK for Java 2, sync", "CBOR, HTTP/1.1", "CBOR, HTTP/1.1 with TLS"),
			Command: javaDriver("sdk2", "conformance.Sdk2Driver", "sync"),
		},
		{
			Name:    "java-sdk2-async",
			Rows:    rows("AWS SDK for Java 2, async", "CBOR, HTTP/2 without TLS", "CBOR, HTTP/2 with TLS"),
			Command: javaDriver("sdk2", "conformance.Sdk2Driver", "async"),
		},
		{
			// The last one before 2.30.
			Name:    "java-sdk2-old",
			Rows:    rows("AWS SDK for Java 2.29, async", "CBOR, HTTP/2 without TLS", "CBOR, HTTP/2 with TLS, no ALPN"),
			Command: javaDriver("sdk2old", "conformance.Sdk2OldDriver"),
		},
		{
			Name:    "java-sdk1",
			Rows:    rows("AWS SDK for Java 1", "CBOR, HTTP/1.1", "CBOR, HTTP/1.1 with TLS"),
			Command: javaDriver("sdk1", "conformance.Sdk1"),
		},
	}
}

// javaDriver runs a class of a module of e2e/java.
func javaDriver(module, class string, args ...string) func(testing.TB) (*exec.Cmd, string) {
	return func(t testing.TB) (*exec.Cmd, string) {
		java, options, err := servers.JavaModule(module, 256)
		if err != nil {
			return notSetUp(t, err)
		}
		cmd := exec.CommandContext(t.Context(), java, append(append(options, class), args...)...)
		// The SDK for Java 1 tells at length that it is out of support.
		cmd.Env = []string{"AWS_JAVA_V1_DISABLE_DEPRECATION_ANNOUNCEMENT=true"}
		return cmd, ""
	}
}
