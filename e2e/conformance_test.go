package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/scenario"
	"github.com/firehosed/firehosed/e2e/servers"
)

// The key that clients sign with. The daemon verifies every signature.
const (
	conformanceKey    = "CONFORMANCEKEY"
	conformanceSecret = "conformance/secret+key"
)

// driversAtOnce is how many drivers run beside each other: most of their time is
// waiting, but each is a runtime of its own in memory.
const driversAtOnce = 4

// clientsTable is the table of the clients that go through the whole scenario.
func clientsTable() harness.Table {
	return harness.Table{Name: "clients", Steps: scenario.Steps()}
}

// terraformTable is the table of Terraform.
func terraformTable() harness.Table {
	return harness.Table{Name: "terraform", Steps: []string{"apply", "no difference", "update in place", "import", "destroy"}}
}

// conformanceDrivers are the programs of TestConformance, the longest first.
func conformanceDrivers() []harness.Driver {
	return slices.Concat(terraformDrivers(), pythonDrivers(), javaDrivers(), nodeDrivers(), goDrivers(), unavailable())
}

// TestConformance takes each client that can be had through the same scenario,
// against one daemon that verifies signatures, and compares what worked with the
// table in docs/compatibility.md. E2E_CLIENTS, a regular expression, chooses drivers.
func TestConformance(test *testing.T) {
	test.Parallel() // with those of the Kinesis Client Library and the Producer Library: much of it is waiting
	t := harness.Repeat(test)
	chosen := regexp.MustCompile(os.Getenv("E2E_CLIENTS"))
	drivers := slices.DeleteFunc(conformanceDrivers(), func(d harness.Driver) bool { return !chosen.MatchString(d.Name) })
	if len(drivers) == 0 {
		t.Fatalf("E2E_CLIENTS=%s chooses none of the drivers", chosen)
	}
	d := conformanceDaemon(t, drivers)
	var (
		mu       sync.Mutex
		outcomes = map[string][]harness.Outcome{} // by table
		tables   = map[string]harness.Table{}
		running  sync.WaitGroup
		slots    = make(chan struct{}, driversAtOnce)
	)
	for _, driver := range drivers {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			began := time.Now()
			found, err := harness.RunDriver(t, driver, conformanceEnv(d, driver.Name))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			table := driver.Table
			if table.Name == "" {
				table = clientsTable()
			}
			tables[table.Name] = table
			outcomes[table.Name] = append(outcomes[table.Name], found...)
			t.Logf("%s: %.1f s", driver.Name, time.Since(began).Seconds())
		})
	}
	running.Wait()
	for _, o := range outcomes[clientsTable().Name] {
		for step, line := range o.Steps {
			if want := scenario.WantDetail(step); line.OK && want != "" && line.Detail != want {
				t.Errorf("%s, %s: step %s reports digest %q, want %s", o.Client, o.Protocol, step, line.Detail, want)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(tables)) {
		table := tables[name]
		table.Complete = chosen.String() == ""
		table.Record(t, os.Getenv(harness.UpdateEnv) == "1", outcomes[name])
	}
	for _, line := range d.LogLines(t, "ERROR") {
		t.Errorf("the daemon logged an error: %v", line)
	}
}

// conformanceDaemon runs a daemon with a key, and a stream with the limits of
// the real service for each driver.
func conformanceDaemon(t testing.TB, drivers []harness.Driver) *harness.Daemon {
	t.Helper()
	var streams strings.Builder
	streams.WriteString("streams:\n")
	for _, driver := range drivers {
		fmt.Fprintf(&streams, "  %s: { shards: 1, limits: aws }\n", throttledStream(driver.Name))
	}
	return harness.Run(t, harness.Settings{
		TLS: true, HTTP: fmt.Sprintf(", auth: sigv4, keys: [ { name: conformance, access_key: %s, secret_key: %q } ]", conformanceKey, conformanceSecret),
		Body: streams.String(),
	})
}

func throttledStream(driver string) string { return driver + "-throttled" }

// conformanceEnv is what a driver is told. See e2e/README.md.
func conformanceEnv(d *harness.Daemon, driver string) []string {
	return []string{
		"FIREHOSED_ENDPOINT=" + d.URL,
		"FIREHOSED_TLS_ENDPOINT=" + d.SecureURL,
		"FIREHOSED_CA_FILE=" + d.CAFile, "NODE_EXTRA_CA_CERTS=" + d.CAFile,
		"FIREHOSED_STREAM=" + driver,
		"FIREHOSED_THROTTLED_STREAM=" + throttledStream(driver),
		"AWS_ACCESS_KEY_ID=" + conformanceKey, "AWS_SECRET_ACCESS_KEY=" + conformanceSecret,
		"AWS_REGION=" + harness.Region, "AWS_DEFAULT_REGION=" + harness.Region,
	}
}

// goDrivers use the SDK for Go, version 2.
func goDrivers() []harness.Driver {
	return []harness.Driver{{
		Name: "go",
		Rows: []harness.Row{{Client: "aws-sdk-go-v2", Protocol: "JSON, HTTP/1.1"}, {Client: "aws-sdk-go-v2", Protocol: "JSON, HTTP/2 with TLS"}},
		Command: func(t testing.TB) (*exec.Cmd, string) {
			return goDriver(t, "go")
		},
	}}
}

// goDriver builds the driver in drivers/NAME.
func goDriver(t testing.TB, name string) (*exec.Cmd, string) {
	root, err := servers.Root()
	if err != nil {
		return notSetUp(t, err)
	}
	path := filepath.Join(root, ".cache", "bin", "driver-"+name)
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", path, "./drivers/"+name)
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Error(errors.Join(err, errors.New(string(out))))
		return nil, "its driver does not build"
	}
	return exec.CommandContext(t.Context(), path), ""
}

// pythonDrivers use boto3 and the aws CLI.
func pythonDrivers() []harness.Driver {
	return []harness.Driver{
		{
			Name: "cli", Rows: []harness.Row{{Client: "aws CLI", Protocol: "JSON, HTTP/1.1"}},
			Command: func(t testing.TB) (*exec.Cmd, string) { return pythonDriver(t, "cli_driver.py") },
		},
		{
			Name:    "boto3",
			Rows:    []harness.Row{{Client: "boto3", Protocol: "JSON, HTTP/1.1"}, {Client: "boto3", Protocol: "JSON, HTTP/1.1 with TLS"}},
			Command: func(t testing.TB) (*exec.Cmd, string) { return pythonDriver(t, "boto3_driver.py") },
		},
	}
}

// pythonDriver runs a script of drivers/python.
func pythonDriver(t testing.TB, script string) (*exec.Cmd, string) {
	python, err := servers.Cached(servers.Python)
	if err != nil {
		return notSetUp(t, err)
	}
	root, err := servers.Root()
	if err != nil {
		return notSetUp(t, err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join(root, "drivers", "python", script))
	cmd.Env = []string{"PYTHONDONTWRITEBYTECODE=1", "AWS_PAGER="}
	return cmd, ""
}

// notSetUp is why a client that e2e/setup.sh installs does not run; an error
// where everything has to be set up.
func notSetUp(t testing.TB, err error) (*exec.Cmd, string) {
	if os.Getenv(servers.RequiredEnv) == "1" {
		t.Errorf("%s=1, but %v", servers.RequiredEnv, err)
	}
	return nil, err.Error()
}

// nodeDrivers use the SDK for JavaScript, version 3.
func nodeDrivers() []harness.Driver {
	return []harness.Driver{{
		Name: "node",
		Rows: []harness.Row{{Client: "@aws-sdk/client-kinesis", Protocol: "JSON, HTTP/2 without TLS"}, {Client: "@aws-sdk/client-kinesis", Protocol: "JSON, HTTP/2 with TLS"}},
		Command: func(t testing.TB) (*exec.Cmd, string) {
			modules, err := servers.Cached(servers.NodeModules)
			if err != nil {
				return notSetUp(t, err)
			}
			root, err := servers.Root()
			if err != nil {
				return notSetUp(t, err)
			}
			cmd := exec.CommandContext(t.Context(), "node", filepath.Join(root, "drivers", "node", "driver.cjs"))
			cmd.Env = []string{"NODE_PATH=" + modules}
			return cmd, ""
		},
	}}
}

// terraformDrivers use Terraform, where it is: no package registry has it.
func terraformDrivers() []harness.Driver {
	return []harness.Driver{{
		Name: "terraform", Table: terraformTable(),
		Rows: []harness.Row{{Client: "Terraform, provider aws", Protocol: "JSON, HTTP/1.1"}},
		Command: func(t testing.TB) (*exec.Cmd, string) {
			program, err := exec.LookPath("terraform")
			if err != nil {
				return nil, "terraform is not on the PATH"
			}
			plugins, missing := terraformPlugins()
			if missing != "" {
				return nil, missing
			}
			cmd, missing := goDriver(t, "terraform")
			if cmd != nil {
				cmd.Env = []string{"TERRAFORM=" + program, "TERRAFORM_PLUGIN_DIR=" + plugins}
			}
			return cmd, missing
		},
	}}
}

// terraformPlugins finds a folder with the provider: that of TERRAFORM_PLUGIN_DIR,
// or one of the places where they usually are.
func terraformPlugins() (dir, missing string) {
	const provider = "registry.terraform.io/hashicorp/aws"
	places := []string{os.Getenv("TERRAFORM_PLUGIN_DIR")}
	if places[0] == "" {
		places = []string{"/opt/tf-plugins", "/usr/local/share/terraform/plugins", "/usr/share/terraform/plugins"}
		if home, err := os.UserHomeDir(); err == nil {
			places = append(places, filepath.Join(home, ".terraform.d/plugins"), filepath.Join(home, ".local/share/terraform/plugins"))
		}
	}
	for _, dir := range places {
		if _, err := os.Stat(filepath.Join(dir, provider)); err == nil {
			return dir, ""
		}
	}
	return "", fmt.Sprintf("provider %s is in none of %v: set TERRAFORM_PLUGIN_DIR", provider, places)
}

// unavailable are clients that no package registry has, with the row that says so.
func unavailable() []harness.Driver {
	row := func(client, protocol, why string) harness.Driver {
		return harness.Driver{Name: strings.ReplaceAll(strings.ToLower(client), " ", "-"), Rows: []harness.Row{{Client: client, Protocol: protocol}}, Unavailable: why}
	}
	return []harness.Driver{
		row("aws CLI 2", "JSON, HTTP/1.1", "not tested: no package registry has the program"),
		row("Fluent Bit", "JSON, HTTP/1.1 with TLS", "not tested: no package registry has the program"),
		row("Vector", "JSON, HTTP/1.1", "not tested: no package registry has the program"),
	}
}
