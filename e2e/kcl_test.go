package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/firehosed/firehosed/e2e/harness"
	"github.com/firehosed/firehosed/e2e/kcl"
	"github.com/firehosed/firehosed/e2e/servers"
)

const (
	kclKeys    = 24                    // partition keys; each has records one after the other
	kclEvery   = 20 * time.Millisecond // between two batches of one record per key
	kclLimit   = 3 * time.Minute       // for each thing to happen, on a busy machine
	kclStream  = "orders"
	kclShards  = 2 // before the reshard
	kclReshard = 4
)

// kclTable is the table of the runs of TestKCL.
var kclTable = harness.Table{Name: "kcl", Steps: []string{
	kclShared, kclResharded, kclTookOver, kclComplete, kclOrdered, kclCheckpoints,
}}

// kclModes name the ways to read in the table.
var kclModes = map[string]string{"fanout": "fan-out", "polling": "polling"}

// The columns of the table.
const (
	kclShared      = "two workers"
	kclResharded   = "reshard"
	kclTookOver    = "worker and daemon killed"
	kclComplete    = "all records"
	kclOrdered     = "order"
	kclCheckpoints = "checkpoints"
)

// TestKCL runs applications of the Kinesis Client Library with two workers on
// one stream while records are put all the time. The stream is resharded, one
// worker is killed, the daemon is killed and started again; no record may be
// missing, and those of a key come in order. KCL 3 with fan-out runs always;
// E2E_KCL=all adds polling and KCL 2, which e2e/setup.sh java_more installs.
func TestKCL(t *testing.T) {
	t.Parallel() // KCL waits for up to 30 s at each start
	var outcomes []harness.Outcome
	for _, version := range []string{"kcl3", "kcl2"} {
		for _, mode := range []string{"fanout", "polling"} {
			t.Run(version+"/"+mode, func(t *testing.T) {
				if (version != "kcl3" || mode != "fanout") && os.Getenv("E2E_KCL") != "all" {
					t.Skip("runs with E2E_KCL=all")
				}
				servers.Require(t, "java/"+version+"/classes/stamp")
				a := testKCL(t, version, mode)
				outcomes = append(outcomes, harness.Outcome{
					Row:     harness.Row{Client: "Kinesis Client Library " + strings.TrimPrefix(version, "kcl"), Protocol: kclModes[mode]},
					Version: jarVersion(t, version, "amazon-kinesis-client"), Steps: a.steps,
				})
			})
		}
	}
	if len(outcomes) == 0 || t.Failed() {
		return
	}
	kclTable.Record(t, os.Getenv(harness.UpdateEnv) == "1", outcomes)
}

// jarVersion is the version of a jar of a module of e2e/java.
func jarVersion(t *testing.T, module, artifact string) string {
	t.Helper()
	lib, err := servers.Cached(filepath.Join("java", module, "lib"))
	if err != nil {
		t.Fatal(err)
	}
	jars, err := filepath.Glob(filepath.Join(lib, artifact+"-[0-9]*.jar"))
	if err != nil || len(jars) != 1 {
		t.Fatalf("jars of %s in %s: %v, %v", artifact, lib, jars, err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(jars[0]), artifact+"-"), ".jar")
}

// application is an application under test.
type application struct {
	t       *testing.T
	d       *harness.Daemon
	kinesis *kinesis.Client
	spec    kcl.Spec
	workers []*kcl.Worker
	began   time.Time
	steps   map[string]harness.Line // that went well
}

func testKCL(t *testing.T, version, mode string) *application {
	t.Helper()
	d := harness.Run(t, harness.Settings{
		HTTP: fmt.Sprintf(", auth: sigv4, keys: [ { name: kcl, access_key: %s, secret_key: %q } ]", conformanceKey, conformanceSecret),
	})
	a := &application{
		t: t, d: d, kinesis: d.Kinesis(withConformanceKey), began: time.Now(), steps: map[string]harness.Line{},
		spec: kcl.Spec{
			Version: version, Mode: mode, Application: "billing", Stream: kclStream, Dir: t.TempDir(),
			Env: conformanceEnv(d, "kcl"),
		},
	}
	if _, err := a.kinesis.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String(kclStream), ShardCount: aws.Int32(kclShards)}); err != nil {
		t.Fatal(err)
	}
	active(t, a.kinesis, kclStream)
	producer := a.produce()
	defer producer.end()

	first := a.start("first")
	a.awaitState()
	second := a.start("second")
	parents := a.openShards()
	shared := func(account kcl.Account) error {
		for _, w := range a.workers {
			if !works(account, w) {
				return fmt.Errorf("worker %s has no records", w.Name)
			}
		}
		return nil
	}
	a.await(kclShared, shared)

	if _, err := a.kinesis.UpdateShardCount(t.Context(), &kinesis.UpdateShardCountInput{
		StreamName: aws.String(kclStream), TargetShardCount: aws.Int32(kclReshard), ScalingType: types.ScalingTypeUniformScaling,
	}); err != nil {
		t.Fatal(err)
	}
	active(t, a.kinesis, kclStream)
	children := a.openShards()
	a.await(kclResharded, func(account kcl.Account) error {
		for _, id := range children {
			if s := account.Shards[id]; s == nil || s.LastRecord == 0 {
				return fmt.Errorf("none of %s is processed", id)
			}
		}
		return nil
	})

	// The worker that lives has to take over everything, while the daemon comes back.
	if err := first.Kill(); err != nil {
		t.Fatal(err)
	}
	a.phase("first worker killed")
	d.MustKill(t)
	d.MustStart(t)
	restarted := time.Now().UnixMilli()
	a.phase("daemon killed and started")
	a.await(kclTookOver, func(account kcl.Account) error {
		for _, id := range children {
			if s := account.Shards[id]; s.LastRecord <= restarted || !s.Workers["second"] {
				return fmt.Errorf("%s: %+v", id, s)
			}
		}
		return nil
	})

	put := producer.end()
	account := a.await(kclComplete, func(account kcl.Account) error {
		for key, n := range put {
			if account.Keys[key] < n {
				return fmt.Errorf("%d of the %d records of %s", account.Keys[key], n, key)
			}
		}
		return nil
	})
	// The daemon has forgotten what came before it was killed.
	harness.Eventually(t, kclLimit, "figures of the application in /metrics", func() error {
		for sample := range d.Metrics(t) {
			if strings.HasPrefix(sample, "firehosed_client_metric_sum{") && strings.Contains(sample, `namespace="billing"`) && strings.Contains(sample, `metric="RecordsProcessed"`) {
				return nil
			}
		}
		return errors.New("no RecordsProcessed")
	})
	if err := second.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	a.phase("second worker stopped")
	a.check(account, put, parents, children)
	return a
}

// works tells whether a worker has processed a record.
func works(account kcl.Account, w *kcl.Worker) bool {
	for _, s := range account.Shards {
		if s.Workers[w.Name] {
			return true
		}
	}
	return false
}

// awaitState waits until the first worker of KCL 3 has left its state in the
// table. When two write it at once, the one whose conditional write is refused
// never gets over it (3.5.1: "AssignmentMode is not initialized") and gives up.
func (a *application) awaitState() {
	a.t.Helper()
	if a.spec.Version != "kcl3" {
		return
	}
	harness.Eventually(a.t, kclLimit, "state of the first worker", func() error {
		out, err := a.dynamodb().GetItem(a.t.Context(), &dynamodb.GetItemInput{
			TableName: aws.String(a.spec.Application), ConsistentRead: aws.Bool(true),
			Key: map[string]dynamodbtypes.AttributeValue{"leaseKey": &dynamodbtypes.AttributeValueMemberS{Value: "Migration3.0"}},
		})
		if err == nil && out.Item == nil {
			err = errors.New("no item Migration3.0")
		}
		return err
	})
}

func (a *application) dynamodb() *dynamodb.Client {
	return a.d.DynamoDB(func(o *dynamodb.Options) {
		o.Credentials = credentials.NewStaticCredentialsProvider(conformanceKey, conformanceSecret, "")
	})
}

// withConformanceKey makes a client sign with the key of the daemon.
func withConformanceKey(o *kinesis.Options) {
	o.Credentials = credentials.NewStaticCredentialsProvider(conformanceKey, conformanceSecret, "")
}

func (a *application) phase(what string) {
	a.t.Helper()
	a.t.Logf("%5.1f s: %s", time.Since(a.began).Seconds(), what)
}

// went notes that a column of the table is reached.
func (a *application) went(step string, well bool) {
	a.steps[step] = harness.Line{Step: step, OK: well}
}

// start runs a worker that ends with the test; when that fails, the end of its log is shown.
func (a *application) start(name string) *kcl.Worker {
	a.t.Helper()
	spec := a.spec
	spec.Name = name
	w, err := kcl.Start(a.t.Context(), spec)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		if err := w.Close(); err != nil {
			a.t.Error(err)
		}
		if a.t.Failed() {
			a.t.Logf("end of the log of worker %s:\n%s", name, w.LogTail())
		}
	})
	a.workers = append(a.workers, w)
	return w
}

func (a *application) account() (kcl.Account, error) {
	var all []kcl.Event
	for _, w := range a.workers {
		events, err := w.Events()
		if err != nil {
			return kcl.Account{}, err
		}
		all = append(all, events...)
	}
	return kcl.Accounts(all), nil
}

// await waits until what the workers did satisfies cond, and gives the account of it.
func (a *application) await(what string, cond func(kcl.Account) error) kcl.Account {
	a.t.Helper()
	var account kcl.Account
	harness.Eventually(a.t, kclLimit, what, func() error {
		var err error
		if account, err = a.account(); err != nil {
			return err
		}
		return cond(account)
	})
	a.phase(what)
	a.went(what, true)
	return account
}

// openShards are the ids of the open shards.
func (a *application) openShards() []string {
	a.t.Helper()
	var ids []string
	for _, s := range a.shards(&types.ShardFilter{Type: types.ShardFilterTypeAtLatest}) {
		ids = append(ids, *s.ShardId)
	}
	return ids
}

func (a *application) shards(filter *types.ShardFilter) []types.Shard {
	a.t.Helper()
	out, err := a.kinesis.ListShards(a.t.Context(), &kinesis.ListShardsInput{StreamName: aws.String(kclStream), ShardFilter: filter})
	if err != nil {
		a.t.Fatal(err)
	}
	return out.Shards
}

// check holds the result against what was put.
func (a *application) check(account kcl.Account, put map[string]int, parents, children []string) {
	a.t.Helper()
	total := 0
	for _, n := range put {
		total += n
	}
	for _, p := range account.Problems {
		a.t.Error(p)
	}
	// Children only after their parents, whoever processed them.
	for _, s := range a.shards(nil) {
		for _, parent := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
			if parent == nil {
				continue
			}
			began, ended := account.Shards[*s.ShardId], account.Shards[*parent]
			if ended == nil || ended.Ended == 0 {
				a.t.Errorf("no worker saw the end of %s", *parent)
			} else if began != nil && began.FirstRecord != 0 && began.FirstRecord < ended.Ended {
				a.t.Errorf("%s began %d ms before its parent %s ended", *s.ShardId, ended.Ended-began.FirstRecord, *parent)
			}
		}
	}
	stopped := false
	events, err := a.workers[len(a.workers)-1].Events()
	if err != nil {
		a.t.Error(err)
	}
	for _, e := range events {
		stopped = stopped || e.What == kcl.Stopped
	}
	if !stopped {
		a.t.Error("the last worker did not shut down in good order")
	}
	a.went(kclOrdered, !a.t.Failed())
	leases := a.leases()
	for _, id := range children {
		if got, want := leases[id], account.Shards[id].Last; got != want {
			a.t.Errorf("the lease of %s has the checkpoint %q, want %q of the last record", id, got, want)
		}
	}
	for _, id := range parents {
		if got, ok := leases[id]; ok && got != "SHARD_END" {
			a.t.Errorf("the lease of %s has the checkpoint %q, want SHARD_END", id, got)
		}
	}
	a.went(kclCheckpoints, !a.t.Failed())
	a.t.Logf("%d records put, %d processed, %d of them once more; %d leases", total, account.Processed, account.Duplicates, len(leases))
	for _, line := range a.d.LogLines(a.t, "ERROR") {
		a.t.Errorf("the daemon logged an error: %v", line)
	}
}

// leases are the checkpoints in the lease table, by shard.
func (a *application) leases() map[string]string {
	a.t.Helper()
	out, err := a.dynamodb().Scan(a.t.Context(), &dynamodb.ScanInput{TableName: aws.String(a.spec.Application), ConsistentRead: aws.Bool(true)})
	if err != nil {
		a.t.Fatal(err)
	}
	leases := map[string]string{}
	for _, item := range out.Items {
		key, _ := item["leaseKey"].(*dynamodbtypes.AttributeValueMemberS)
		checkpoint, _ := item["checkpoint"].(*dynamodbtypes.AttributeValueMemberS)
		if key != nil && checkpoint != nil && strings.HasPrefix(key.Value, "shardId-") {
			leases[key.Value] = checkpoint.Value
		}
	}
	return leases
}

// producing puts records until it is told to end.
type producing struct {
	stop   context.CancelFunc
	done   chan struct{}
	put    map[string]int // how many of each key; read it only after done
	broken atomic.Pointer[error]
}

// produce puts records of all keys, each batch until all of it is accepted, so
// that a record of a key is not put before the one in front of it is.
func (a *application) produce() *producing {
	ctx, cancel := context.WithCancel(a.t.Context())
	p := &producing{stop: cancel, done: make(chan struct{}), put: map[string]int{}}
	client := a.d.Kinesis(withConformanceKey, func(o *kinesis.Options) {
		o.HTTPClient = harness.Once()
		o.Retryer = aws.NopRetryer{}
	})
	go func() {
		defer close(p.done)
		for n := 0; harness.Pause(ctx, kclEvery); n++ {
			batch := make([]types.PutRecordsRequestEntry, 0, kclKeys)
			for k := range kclKeys {
				key := fmt.Sprintf("k%d", k)
				batch = append(batch, types.PutRecordsRequestEntry{PartitionKey: &key, Data: fmt.Appendf(nil, "%s:%d", key, n)})
				p.put[key] = n + 1
			}
			// Not with ctx: a batch that is begun is put whole.
			if err := putUntilAccepted(a.t.Context(), client, batch); err != nil {
				p.broken.Store(&err)
				return
			}
		}
	}()
	a.t.Cleanup(func() {
		p.end()
		if err := p.broken.Load(); err != nil {
			a.t.Errorf("producer: %v", *err)
		}
	})
	return p
}

// end stops the producer and tells how many records of each key were put.
func (p *producing) end() map[string]int {
	p.stop()
	<-p.done
	return p.put
}

// putUntilAccepted puts a batch, and what fails of it again.
func putUntilAccepted(ctx context.Context, client *kinesis.Client, batch []types.PutRecordsRequestEntry) error {
	ctx, cancel := context.WithTimeout(ctx, kclLimit)
	defer cancel()
	for {
		out, err := client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String(kclStream), Records: batch})
		switch {
		case err == nil && aws.ToInt32(out.FailedRecordCount) == 0:
			return nil
		case err == nil:
			var again []types.PutRecordsRequestEntry
			for i, r := range out.Records {
				if r.ErrorCode != nil {
					again = append(again, batch[i])
				}
			}
			batch = again
		}
		if !harness.Pause(ctx, 100*time.Millisecond) {
			return errors.Join(err, errors.New("a batch was not accepted in time"))
		}
	}
}
