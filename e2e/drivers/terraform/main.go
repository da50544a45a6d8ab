// The driver of Terraform with the provider aws: streams, a consumer, a resource
// policy and data sources are applied, planned again, updated in place, imported
// into another state, and destroyed. TERRAFORM is the program, TERRAFORM_PLUGIN_DIR
// the folder that has the provider.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// stepTimeout is more than the tests let the whole of it take: each command loads
// the provider several times, which takes a machine that is busy minutes.
const stepTimeout = 15 * time.Minute

//go:embed main.tf
var configuration []byte

//go:embed imports.tf
var imports []byte

type driver struct {
	program, plugins string
	dir              string // of the configuration and the states
	prefix           string // of the streams
	version          string
	arn              string // of the stream that is scaled
	consumer         string // ARN of its consumer
}

// seen is the output of the configuration.
type seen struct {
	Account     string            `json:"account"`
	ARN         string            `json:"arn"`
	Open        int               `json:"open"`
	Closed      int               `json:"closed"`
	Tags        map[string]string `json:"tags"`
	Retention   int               `json:"retention"`
	Mode        string            `json:"mode"`
	Status      string            `json:"status"`
	Consumer    string            `json:"consumer"`
	ConsumerARN string            `json:"consumer_arn"`
}

func main() {
	dir, err := os.MkdirTemp("", "terraform")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	d := &driver{
		program: os.Getenv("TERRAFORM"), plugins: os.Getenv("TERRAFORM_PLUGIN_DIR"),
		dir: dir, prefix: os.Getenv("FIREHOSED_STREAM"),
	}
	// Terraform that is killed leaves the provider behind; interrupted, it ends it.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	ok := d.run(ctx)
	stop()
	if err := os.RemoveAll(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if !ok {
		os.Exit(1)
	}
}

func (d *driver) run(parent context.Context) bool {
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{{"apply", d.apply}, {"no difference", d.noDifference}, {"update in place", d.update}, {"import", d.imported}, {"destroy", d.destroy}} {
		ctx, cancel := context.WithTimeout(parent, stepTimeout)
		began := time.Now()
		err := step.do(ctx)
		cancel()
		fmt.Fprintf(os.Stderr, "%s: %.1f s\n", step.name, time.Since(began).Seconds())
		line := map[string]any{"client": "Terraform, provider aws", "version": d.version, "protocol": "JSON, HTTP/1.1", "step": step.name, "ok": err == nil}
		if err != nil {
			line["detail"] = err.Error()
		}
		if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return false
		}
		if err != nil {
			return false
		}
	}
	return true
}

// terraform runs the program and gives what it prints and its exit status.
func (d *driver) terraform(ctx context.Context, args ...string) (string, int, error) {
	cmd := exec.CommandContext(ctx, d.program, args...)
	cmd.Dir = d.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 15 * time.Second
	// No configuration of the user's and no look for a newer version.
	cmd.Env = append(os.Environ(), "TF_CLI_CONFIG_FILE="+os.DevNull, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1",
		"TF_VAR_endpoint="+os.Getenv("FIREHOSED_ENDPOINT"), "TF_VAR_prefix="+d.prefix,
		"TF_VAR_consumer_arn="+d.consumer, "TF_VAR_kept_arn="+strings.TrimSuffix(d.arn, "scaled")+"kept")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return "", 0, err
	}
	return out.String(), cmd.ProcessState.ExitCode(), nil
}

// changed runs an apply or a destroy and compares what it says at its end.
func (d *driver) changed(ctx context.Context, want string, args ...string) error {
	out, status, err := d.terraform(ctx, append(args, "-auto-approve", "-input=false", "-no-color")...)
	if err != nil {
		return err
	}
	if status != 0 || !strings.Contains(out, want) {
		return fmt.Errorf("terraform %s: status %d, want %q:\n%s", args[0], status, want, out)
	}
	return nil
}

// outputs reads what the last apply with a state has put out.
func (d *driver) outputs(state string) (seen, error) {
	raw, err := os.ReadFile(filepath.Join(d.dir, state))
	if err != nil {
		return seen{}, err
	}
	var file struct {
		Outputs struct{ Seen struct{ Value seen } }
	}
	return file.Outputs.Seen.Value, json.Unmarshal(raw, &file)
}

func (d *driver) apply(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(d.dir, "main.tf"), configuration, 0o600); err != nil {
		return err
	}
	out, status, err := d.terraform(ctx, "init", "-plugin-dir="+d.plugins, "-input=false", "-no-color")
	if err != nil || status != 0 {
		return fmt.Errorf("terraform init: status %d, %w:\n%s", status, err, out)
	}
	if err := d.readVersion(ctx); err != nil {
		return err
	}
	if err := d.changed(ctx, "7 added, 0 changed, 0 destroyed", "apply", "-var=updated=false"); err != nil {
		return err
	}
	got, err := d.outputs("terraform.tfstate")
	if err != nil {
		return err
	}
	if got.Account == "" || got.Open != 1 || got.Closed != 0 || got.Tags["team"] != "shop" || got.Retention != 24 ||
		got.Mode != "PROVISIONED" || got.Status != "ACTIVE" || got.Consumer != "ACTIVE" {
		return fmt.Errorf("the data sources see %+v", got)
	}
	d.arn, d.consumer = got.ARN, got.ConsumerARN
	return nil
}

// readVersion reads the versions of Terraform and of the provider.
func (d *driver) readVersion(ctx context.Context) error {
	out, _, err := d.terraform(ctx, "version", "-json")
	if err != nil {
		return err
	}
	// A warning may stand in front of the document.
	found := regexp.MustCompile(`(?s)\{.*\}`).FindString(out)
	var v struct {
		Version   string            `json:"terraform_version"`
		Providers map[string]string `json:"provider_selections"`
	}
	if err := json.Unmarshal([]byte(found), &v); err != nil {
		return fmt.Errorf("terraform version: %w:\n%s", err, out)
	}
	d.version = fmt.Sprintf("%s, %s", v.Version, v.Providers["registry.terraform.io/hashicorp/aws"])
	return nil
}

func (d *driver) noDifference(ctx context.Context) error {
	out, status, err := d.terraform(ctx, "plan", "-var=updated=false", "-detailed-exitcode", "-input=false", "-no-color")
	if err != nil || status != 0 {
		return fmt.Errorf("terraform plan: status %d, want 0 for no difference, %w:\n%s", status, err, out)
	}
	return nil
}

func (d *driver) update(ctx context.Context) error {
	if err := d.changed(ctx, "0 added, 6 changed, 0 destroyed", "apply", "-var=updated=true"); err != nil {
		return err
	}
	got, err := d.outputs("terraform.tfstate")
	if err != nil {
		return err
	}
	if got.Open != 2 || got.Closed != 1 || got.Tags["team"] != "search" || got.Tags["stage"] != "test" || got.Retention != 48 ||
		got.Mode != "ON_DEMAND" || got.ConsumerARN != d.consumer {
		return fmt.Errorf("the data sources see %+v", got)
	}
	return nil
}

// imported takes what is there into an empty state: nothing of it has to change.
func (d *driver) imported(ctx context.Context) error {
	if err := os.WriteFile(filepath.Join(d.dir, "imports.tf"), imports, 0o600); err != nil {
		return err
	}
	return d.changed(ctx, "7 imported, 0 added, 0 changed, 0 destroyed", "apply", "-state=imported.tfstate", "-var=updated=true")
}

func (d *driver) destroy(ctx context.Context) error {
	return d.changed(ctx, "7 destroyed", "destroy", "-state=imported.tfstate", "-var=updated=true")
}
