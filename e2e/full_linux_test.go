package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	firehosetypes "github.com/aws/aws-sdk-go-v2/service/firehose/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
)

const diskSize = 96 * mib

// ext4Disk mounts a small ext4 of its own, in a file, for the length of a test.
// dev is the name of its block device.
func ext4Disk(t *testing.T, options string) (dir, dev string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a disk in a file can be mounted by root only")
	}
	image, dir := filepath.Join(t.TempDir(), "disk"), t.TempDir()
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, diskSize)); err != nil {
		t.Fatal(err)
	}
	// No share of the disk is kept for root, which the daemon runs as here.
	harness.RunProgram(t, nil, []int{0}, "mkfs.ext4", "-q", "-m", "0", "-F", image)
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", image).CombinedOutput()
	if err != nil {
		t.Skipf("there are no loop devices here: %v: %s", err, out)
	}
	path := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.CommandContext(context.Background(), "losetup", "--detach", path).CombinedOutput(); err != nil {
			t.Errorf("detach %s: %v: %s", path, err, out)
		}
	})
	mountExt4(t, path, dir, options)
	return dir, filepath.Base(path)
}

func mountExt4(t *testing.T, dev, dir, options string) {
	t.Helper()
	if err := syscall.Mount(dev, dir, "ext4", 0, options); err != nil {
		t.Fatalf("mount %s: %v", dev, err)
	}
	t.Cleanup(func() { // unless the test did
		if err := syscall.Unmount(dir, 0); err != nil && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
}

// smallDisk mounts a file system of its own for the length of a test.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		t.Skipf("a small disk cannot be mounted here (%v): run as root, or with CAP_SYS_ADMIN", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// fill takes all space of a disk but some bytes, and goes on taking what comes
// free until it is told to stop.
func fill(t *testing.T, disk string, leave int64) (release func()) {
	t.Helper()
	file, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	take := func() error {
		for {
			var st syscall.Statfs_t
			if err := syscall.Statfs(disk, &st); err != nil {
				return err
			}
			free := int64(st.Bavail)*st.Bsize - leave
			if free <= 0 {
				return nil
			}
			if _, err := file.Write(block[:min(free, int64(len(block)))]); err != nil && !errors.Is(err, syscall.ENOSPC) {
				return err
			}
		}
	}
	if err := take(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		for harness.Pause(ctx, 50*time.Millisecond) {
			if err := take(); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	return sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, file.Close(), os.Remove(file.Name())); err != nil {
			t.Error(err)
		}
	})
}

// TestFullDisk fills the disk of the data directory under producers: puts are
// refused with an answer that clients try again, reads and delivery go on, and
// puts are taken again when there is space. Nothing acknowledged is lost, also
// not by a kill while the disk is full.
func TestFullDisk(t *testing.T) {
	for _, tt := range []struct {
		name, minFree string
		leave         int64
		disk          func(t *testing.T) string
	}{
		{"below min_free", "32MiB", 16 * mib, smallDisk},
		{"no space at all", "0", 0, smallDisk},
		{"no space at all on ext4", "0", 0, func(t *testing.T) string {
			t.Helper()
			dir, _ := ext4Disk(t, "")
			return dir
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { testFullDisk(t, tt.disk(t), tt.minFree, tt.leave) })
	}
}

// TestStartWithoutSpace starts a killed daemon on a disk without a free byte:
// the space kept for that brings it up, what was acknowledged is read and
// delivered, and records are taken again when there is room.
func TestStartWithoutSpace(t *testing.T) {
	disk := smallDisk(t)
	out := filepath.Join(t.TempDir(), "out")
	d := harness.Run(t, harness.Settings{
		DataDir: filepath.Join(disk, "data"), MinFree: "0", Storage: ", segment_size: 1MiB, journal_size: 4MiB, ballast: 16MiB",
		Body: fmt.Sprintf(`
streams: { first: {} }
delivery_streams:
  shelf:
    source: { stream: first }
    format: { raw: { delimiter: "" } }
    buffer: { interval: 1s }
    destination: { dir: { path: %q, prefix: "shelf/!{timestamp:yyyy}/" } }
`, out),
	})
	client := d.Kinesis(func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} })
	put := func() error {
		_, err := client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("first"), PartitionKey: aws.String("k"), Data: payload(1, 1, 5000)})
		return err
	}
	const records = 200
	for range records {
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	harness.Eventually(t, harness.Patience, "the space that is kept", func() error {
		if m := d.Metrics(t); m.Log(t, "ballast_bytes") == 0 {
			return errors.New("the ballast is not there")
		}
		return nil
	})
	d.MustKill(t)
	full, err := os.Create(filepath.Join(disk, "full"))
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = full.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := full.Close(); err != nil {
		t.Fatal(err)
	}

	d.Unready = true
	d.MustStart(t)
	d.AwaitDrained(t, harness.Patience, "shelf")
	shards, err := listShards(t.Context(), d.Kinesis(), "first")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	if err := readToEnd(t.Context(), d.Kinesis(), "first", shards[0].id, func(types.Record) error { read++; return nil }); err != nil {
		t.Fatal(err)
	}
	if read != records {
		t.Errorf("%d records are read after a start without space, %d were acknowledged", read, records)
	}
	if err := os.Remove(full.Name()); err != nil {
		t.Fatal(err)
	}
	harness.Eventually(t, harness.Patience, "taking records again", func() error {
		if err := put(); err != nil {
			return err
		}
		if m := d.Metrics(t); m.Log(t, "ballast_bytes") == 0 {
			return errors.New("the ballast is not there again")
		}
		return nil
	})
}

func testFullDisk(t *testing.T, disk, minFree string, leave int64) {
	rng := random(t)
	out := filepath.Join(t.TempDir(), "out")
	// Without a ballast, which whoever fills the disk would take anyway.
	d := harness.Run(t, harness.Settings{
		DataDir: filepath.Join(disk, "data"), MinFree: minFree, Storage: ", segment_size: 1MiB, journal_size: 4MiB, ballast: 0",
		Body: fmt.Sprintf(`
streams: { first: {} }
delivery_streams:
  shelf:
    source: { stream: first }
    format: { raw: { delimiter: "" } }
    buffer: { interval: 1s }
    destination: { dir: { path: %[1]q, prefix: "shelf/!{timestamp:yyyy}/" } }
  direct: { source: { direct_put: {} }, buffer: { interval: 300ms }, destination: { dir: { path: %[1]q, prefix: "direct/!{timestamp:yyyy}/" } } }
`, out),
	})
	httpClient := harness.Once()
	client := d.Kinesis(func(o *kinesis.Options) { o.HTTPClient, o.Retryer = httpClient, aws.NopRetryer{} })
	producers := make([]*producer, 2)
	for i := range producers {
		producers[i] = &producer{id: i, rng: rand.New(rand.NewPCG(rng.Uint64(), 0)), client: client, names: &streamNames{names: []string{"first"}}}
	}
	work := func(until func()) {
		ctx, cancel := context.WithCancel(t.Context())
		var working sync.WaitGroup
		for _, p := range producers {
			working.Go(func() { p.run(ctx) })
		}
		defer working.Wait()
		defer cancel()
		until()
	}
	check := func(when string) *ledgerCheck {
		c := &ledgerCheck{}
		for _, p := range producers {
			c.add(p.ledger)
		}
		c.run(t, d.Kinesis(), []string{"first"}, nil)
		t.Logf("%s: %d records acknowledged, %d read back: %d missing, %d changed, %d repeated, %d out of order",
			when, len(c.ledger), c.read, c.missing, c.changed, c.repeated, c.unordered)
		return c
	}
	acknowledged := func() int64 { return acknowledgedBy(producers) }
	release := func() {}
	work(func() {
		pauseBusy(t, 300*time.Millisecond, acknowledged)
		release = fill(t, disk, leave)
		harness.Eventually(t, harness.Patience, "refusals", func() error {
			if m := d.Metrics(t); m.Log(t, "full") != 1 {
				return errors.New("the log is not full")
			}
			return nil
		})
		harness.Pause(t.Context(), time.Second)
	})
	defer release()

	// Refused, each with a code that clients of AWS wait and try again on.
	refused := map[string]int{}
	for _, p := range producers {
		for code, n := range p.refused {
			refused[code] += n
		}
	}
	_, err := d.Firehose(func(o *firehose.Options) { o.Retryer = aws.NopRetryer{} }).PutRecord(t.Context(), &firehose.PutRecordInput{
		DeliveryStreamName: aws.String("direct"), Record: &firehosetypes.Record{Data: []byte("{}")},
	})
	h := d.Health(t)
	t.Logf("refused by the Kinesis API: %v; by the Firehose API: %v; health: %+v", refused, err, h)
	if n := refused["ProvisionedThroughputExceededException"]; n == 0 || len(refused) != 1 {
		t.Errorf("refusals: %v, want ProvisionedThroughputExceededException alone", refused)
	}
	if err == nil || code(err) != "ServiceUnavailableException" {
		t.Errorf("refusal of Firehose PutRecord: %v, want ServiceUnavailableException", err)
	}
	if h.Code != 503 || len(h.Reasons) == 0 {
		t.Errorf("health does not say that records are refused: %+v", h)
	}

	// Reads and delivery go on while the disk is full.
	full := check("while the disk is full")
	if full.read < len(full.ledger) || len(full.ledger) == 0 {
		t.Error("not everything can be read while the disk is full")
	}
	d.AwaitDrained(t, harness.Patience, "shelf")

	d.MustKill(t)
	d.Unready = true
	err = d.Start(t.Context())
	if err == nil {
		// So they do after a kill and a start on the full disk.
		check("after a kill and a start on the full disk")
		release()
	} else {
		// A start that finds no room for what it has to write says so and changes
		// nothing.
		last := lastLine(err.Error())
		t.Logf("a start without any space: %s", last)
		if leave > 0 || !strings.Contains(err.Error(), "exit status 1") || !strings.Contains(last, "no space left on device") || !strings.Contains(last, d.DataDir) {
			t.Errorf("a start without any space: %v", err)
		}
		release()
		d.MustStart(t)
		check("after a kill on the full disk")
	}
	harness.Eventually(t, harness.Patience, "taking records again", func() error {
		if h := d.Health(t); h.Code != 200 {
			return fmt.Errorf("%+v", h)
		}
		_, err := client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("first"), PartitionKey: aws.String("k"), Data: payload(9, 9, 100)})
		return err
	})
	work(func() { pauseBusy(t, 500*time.Millisecond, acknowledged) })
	d.AwaitDrained(t, harness.Patience, "shelf")
	check("after space returned")

	var stored, delivered int64
	shards, err := listShards(t.Context(), d.Kinesis(), "first")
	if err != nil {
		t.Fatal(err)
	}
	if err := readToEnd(t.Context(), d.Kinesis(), "first", shards[0].id, func(r types.Record) error { stored += int64(len(r.Data)); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, file := range harness.Files(t, filepath.Join(out, "shelf")) {
		st, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		delivered += st.Size()
	}
	t.Logf("%d bytes in the log, %d delivered", stored, delivered)
	if stored != delivered {
		t.Error("what was delivered is not what was put")
	}
	d.MustStop(t)
}
