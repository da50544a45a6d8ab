package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
)

// TestSecondInstance starts a second daemon on the directory of the first: it
// is refused with a sentence, and the first goes on.
func TestSecondInstance(t *testing.T) {
	d := harness.Run(t, harness.Settings{Body: "streams: { first: {} }\n"})
	c := newCrew(d, random(t), 2, "first")
	c.work(t, func() {
		config, err := os.ReadFile(d.ConfigFile())
		if err != nil {
			t.Fatal(err)
		}
		// On another port: the directory alone is in the way.
		other := filepath.Join(d.Dir, "other.yaml")
		config = regexp.MustCompile(`listen: "[^"]*"`).ReplaceAll(config, []byte(`listen: "127.0.0.1:0"`))
		if err := os.WriteFile(other, config, 0o600); err != nil {
			t.Fatal(err)
		}
		status, text := d.Exec(t, "run", "-c", other)
		t.Logf("the second daemon, status %d: %s", status, lastLine(text))
		if status != 1 || !strings.Contains(lastLine(text), "another process uses this data directory") || !strings.Contains(lastLine(text), d.DataDir) {
			t.Errorf("the second daemon: status %d\n%s", status, text)
		}
		harness.Pause(t.Context(), 200*time.Millisecond)
	})
	for code, n := range c.refusals() {
		t.Errorf("the first daemon answered %s %d times", code, n)
	}
	c.check(t, "after the second daemon was refused")
	d.MustStop(t)
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// TestDowngradeRefused starts the daemon on a directory that says a newer
// version wrote it: it is refused with a sentence, and no file is changed.
func TestDowngradeRefused(t *testing.T) {
	d := harness.Run(t, harness.Settings{Body: "streams: { first: {} }\n"})
	c := newCrew(d, random(t), 2, "first")
	c.work(t, func() { c.busy(t, 200*time.Millisecond) })
	d.MustStop(t)
	formats := harness.Files(t, d.DataDir, "FORMAT")
	if len(formats) != 1 {
		t.Fatalf("format files: %v", formats)
	}
	text, err := os.ReadFile(formats[0])
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^format (\d+)$`)
	m := version.FindSubmatch(text)
	if m == nil {
		t.Fatalf("%s names no format: %q", formats[0], text)
	}
	now, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	newer := version.ReplaceAll(text, fmt.Appendf(nil, "format %d", now+1))
	if err := os.WriteFile(formats[0], newer, 0o600); err != nil {
		t.Fatal(err)
	}
	before := contents(t, d.DataDir)
	status, said := d.Exec(t, "run", "-c", d.ConfigFile())
	t.Logf("on newer data, status %d: %s", status, lastLine(said))
	if status != 1 || !strings.Contains(lastLine(said), "was written by a newer version") {
		t.Errorf("on newer data: status %d\n%s", status, said)
	}
	for file, was := range before {
		if is, ok := contents(t, d.DataDir)[file]; !ok || !bytes.Equal(is, was) {
			t.Errorf("%s was changed", file)
		}
	}
	if err := os.WriteFile(formats[0], text, 0o600); err != nil {
		t.Fatal(err)
	}
	d.MustStart(t)
	c.check(t, "with the right version again")
	d.MustStop(t)
}

// contents are the files below a folder.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for _, file := range harness.Files(t, dir) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all[file] = b
	}
	return all
}

// TestFDLimit writes and reads 1,000 shards by a daemon that may open far fewer
// files, and reads all of it back after a kill.
func TestFDLimit(t *testing.T) {
	const shards, rounds, readers = 1000, 3, 12
	for _, limit := range []int{64, 128} {
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			// In memory: with few files open, each that is closed is synced, which
			// takes a disk a minute.
			d := harness.Run(t, harness.Settings{
				DataDir: filepath.Join(smallDisk(t), "data"), MinFree: "1MiB",
				Body:    fmt.Sprintf("memory: { log: 1MiB }\nstreams: { many: { shards: %d } }\n", shards),
				Storage: ", segment_size: 1MiB, journal_size: 4MiB",
				Wrap:    []string{"prlimit", fmt.Sprintf("--nofile=%d:%d", limit, limit), "--"},
			})
			httpClient := harness.Once()
			client := d.Kinesis(func(o *kinesis.Options) { o.HTTPClient, o.Retryer = httpClient, aws.NopRetryer{} })
			want := map[string]string{} // data by place
			for round := range rounds {
				for from := 0; from < 2*shards; from += 500 {
					in := &kinesis.PutRecordsInput{StreamName: aws.String("many")}
					for k := range 500 {
						in.Records = append(in.Records, types.PutRecordsRequestEntry{
							PartitionKey: aws.String(strconv.Itoa(from + k)), Data: payload(round, from+k, 600),
						})
					}
					out, err := client.PutRecords(t.Context(), in)
					if err != nil {
						t.Fatal(err)
					}
					for k, r := range out.Records {
						if r.ErrorCode != nil {
							t.Fatalf("record refused: %s %s", *r.ErrorCode, aws.ToString(r.ErrorMessage))
						}
						want[place("many", *r.ShardId, *r.SequenceNumber)] = string(in.Records[k].Data)
					}
				}
			}
			readBack := func(when string) {
				list, err := listShards(t.Context(), client, "many")
				if err != nil || len(list) != shards {
					t.Fatalf("%d shards, %v", len(list), err)
				}
				var read atomic.Int64
				var reading sync.WaitGroup
				for reader := range readers {
					reading.Go(func() {
						for n := reader; n < len(list); n += readers {
							err := readToEnd(t.Context(), client, "many", list[n].id, func(r types.Record) error {
								read.Add(1)
								if at := place("many", list[n].id, *r.SequenceNumber); want[at] != string(r.Data) {
									return fmt.Errorf("%s has %.20q, want %.20q", at, r.Data, want[at])
								}
								return nil
							})
							if err != nil {
								t.Errorf("%s: shard %s: %v", when, list[n].id, err)
								return
							}
						}
					})
				}
				reading.Wait()
				open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.Pid()))
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%s: %d of %d records read from %d shards; %d files are open, at most %d", when, read.Load(), len(want), shards, len(open), limit)
				if read.Load() != int64(len(want)) {
					t.Errorf("%s: %d of %d records are there", when, read.Load(), len(want))
				}
			}
			readBack("while it runs")
			httpClient.CloseIdleConnections()
			d.MustKill(t)
			d.MustStart(t)
			readBack("after a kill")
			for _, line := range d.LogLines(t, "ERROR") {
				t.Errorf("the daemon logged %v", line)
			}
			d.MustStop(t)
		})
	}
}

// TestRemountReadOnly makes the file system of the data directory read-only
// under producers, as ext4 does itself when its disk fails: puts fail with an
// answer that clients retry, the daemon ends with an error and does not start
// until the file system is repaired; then everything acknowledged is there.
func TestRemountReadOnly(t *testing.T) {
	rng := random(t)
	disk, dev := ext4Disk(t, "errors=remount-ro")
	d := harness.Run(t, harness.Settings{
		DataDir: filepath.Join(disk, "data"), MinFree: "0", Body: "streams:\n  first: { shards: 2 }\n",
		Storage: ", segment_size: 1MiB, journal_size: 4MiB",
	})
	c := newCrew(d, rng, 4, "first")
	c.work(t, func() { c.busy(t, time.Duration(200+rng.IntN(300))*time.Millisecond) })
	c.refusals()
	trigger := filepath.Join("/sys/fs/ext4", dev, "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("test\n"), 0o200); err != nil {
		t.Skipf("this kernel cannot be told to fail a file system: %v", err)
	}
	c.workUntilEnd(t, nil)
	if t.Failed() {
		t.FailNow()
	}
	refused := c.refusals()
	t.Logf("ended with %v; refused %v", d.ExitError(), refused)
	if d.ExitError() == nil {
		t.Error("the daemon ended with status 0")
	}
	for code := range refused {
		if code != noCode && code != "InternalFailureException" {
			t.Errorf("refused with %s, want InternalFailureException, which clients retry", code)
		}
	}
	status, text := d.Exec(t, "run", "-c", d.ConfigFile())
	t.Logf("a start on the read-only file system, status %d: %s", status, lastLine(text))
	if status != 1 || !strings.Contains(lastLine(text), "read-only file system") || !strings.Contains(lastLine(text), d.DataDir) {
		t.Errorf("a start on the read-only file system: status %d\n%s", status, text)
	}
	if err := syscall.Unmount(disk, 0); err != nil {
		t.Fatal(err)
	}
	fsck := exec.CommandContext(t.Context(), "fsck.ext4", "-f", "-y", filepath.Join("/dev", dev))
	if out, err := fsck.CombinedOutput(); fsck.ProcessState == nil || fsck.ProcessState.ExitCode() > 1 { // 1: repaired
		t.Fatalf("fsck: %v\n%s", err, out)
	}
	mountExt4(t, filepath.Join("/dev", dev), disk, "")
	d.MustStart(t)
	check := c.check(t, "on the repaired file system")
	if len(check.ledger) == 0 {
		t.Error("nothing was acknowledged")
	}
	d.MustStop(t)
}
