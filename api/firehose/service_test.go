package firehose_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/firehose/types"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/firehose"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/streams"
	"github.com/firehosed/firehosed/streams/wal"
)

const jsonType = "application/x-amz-json-1.1"

var created = time.Date(2026, 3, 1, 12, 0, 0, 250e6, time.UTC)

// deliveryStreams keeps definitions in memory and records on a real log.
type deliveryStreams struct {
	engine streams.Engine

	mu       sync.Mutex
	defs     map[string]firehose.Definition
	refuse   error // what Create and Put answer
	declared string
}

var _ firehose.DeliveryStreams = (*deliveryStreams)(nil)

func (d *deliveryStreams) Create(ctx context.Context, def firehose.Definition) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return d.refuse
	}
	if _, err := d.engine.Create(ctx, streams.StreamSpec{Name: "$" + def.Name, Shards: 1}); err != nil {
		return err
	}
	d.defs[def.Name] = def
	return nil
}

func (d *deliveryStreams) Delete(ctx context.Context, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.defs[name]; !ok {
		return fmt.Errorf("%s: %w", name, firehose.ErrNotFound)
	}
	if name == d.declared {
		return firehose.ErrDeclared
	}
	delete(d.defs, name)
	return d.engine.Delete(ctx, "$"+name)
}

func (d *deliveryStreams) Get(name string) (firehose.Description, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	def, ok := d.defs[name]
	return firehose.Description{Definition: def, Status: "ACTIVE", Version: 1, Created: created}, ok
}

func (d *deliveryStreams) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for n := range d.defs {
		names = append(names, n)
	}
	return names
}

func (d *deliveryStreams) Put(ctx context.Context, name string, records [][]byte) (streams.Result, error) {
	d.mu.Lock()
	def, ok := d.defs[name]
	refuse := d.refuse
	d.mu.Unlock()
	switch {
	case refuse != nil:
		return streams.Result{}, refuse
	case !ok:
		return streams.Result{}, firehose.ErrNotFound
	case def.Type != firehose.DirectPut:
		return streams.Result{}, firehose.ErrNotDirectPut
	}
	var b streams.Batch
	for _, r := range records {
		b.Records = append(b.Records, streams.NewRecord{Data: r})
	}
	return d.engine.Append(ctx, "$"+name, &b)
}

type fixture struct {
	t       *testing.T
	streams *deliveryStreams
	handler http.Handler
	client  *sdk.Client
}

func setup(t *testing.T) *fixture {
	t.Helper()
	log, err := wal.Open(t.TempDir(), wal.Options{MinFreeBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	f := &fixture{t: t, streams: &deliveryStreams{engine: log, defs: map[string]firehose.Definition{}}}
	s, err := firehose.New(firehose.Options{Streams: f.streams, Region: "us-east-1", AccountID: "123456789012", StreamLimit: 20})
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := access.NewSigV4(access.SigV4Options{Keys: []access.Key{{ID: "AKID", Secret: "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := wire.NewHandler(wire.Options{Services: []wire.Service{s.Wire()}, Access: verifier})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(signed)
	t.Cleanup(srv.Close)
	f.client = sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: &srv.URL, HTTPClient: &http.Client{Transport: wholeBodies{srv.Client().Transport}}, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "secret"}, nil
		}),
	})
	if f.handler, err = wire.NewHandler(wire.Options{Services: []wire.Service{s.Wire()}, Access: access.Anyone{}}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) raw(operation, body string) (int, string) {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", jsonType)
	r.Header.Set("X-Amz-Target", "Firehose_20150804."+operation)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// wholeBodies sends request bodies from memory of its own. The SDK (smithy-go
// 1.28) closes a body as soon as the response begins, and if the transport had
// not yet looked for the end of it, takes that for a failed write and closes
// the connection under the response. Far servers are too slow for that to
// happen; this one on a busy machine is not.
type wholeBodies struct{ http.RoundTripper }

func (t wholeBodies) RoundTrip(r *http.Request) (*http.Response, error) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(b))
	return t.RoundTripper.RoundTrip(r)
}

var (
	role   = aws.String("arn:aws:iam::123456789012:role/firehose")
	bucket = aws.String("arn:aws:s3:::lake")
)

func TestClientRoundTrip(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	name := aws.String("access-log")
	out, err := f.client.CreateDeliveryStream(ctx, &sdk.CreateDeliveryStreamInput{
		DeliveryStreamName: name,
		ExtendedS3DestinationConfiguration: &types.ExtendedS3DestinationConfiguration{
			RoleARN: role, BucketARN: bucket,
			Prefix:            aws.String("logs/dt=!{timestamp:yyyy-MM-dd}/"),
			ErrorOutputPrefix: aws.String("errors/!{firehose:error-output-type}/"),
			BufferingHints:    &types.BufferingHints{SizeInMBs: aws.Int32(64), IntervalInSeconds: aws.Int32(60)},
			CompressionFormat: types.CompressionFormatGzip,
			FileExtension:     aws.String(".json.gz"),
			CustomTimeZone:    aws.String("Europe/Berlin"),
			ProcessingConfiguration: &types.ProcessingConfiguration{Enabled: aws.Bool(true), Processors: []types.Processor{{
				Type:       types.ProcessorTypeLambda,
				Parameters: []types.ProcessorParameter{{ParameterName: types.ProcessorParameterNameLambdaArn, ParameterValue: aws.String("arn:aws:lambda:us-east-1:123456789012:function:f")}},
			}}},
			S3BackupMode:          types.S3BackupModeEnabled,
			S3BackupConfiguration: &types.S3DestinationConfiguration{RoleARN: role, BucketARN: aws.String("arn:aws:s3:::backup")},
		},
		Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("a")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if *out.DeliveryStreamARN != "arn:aws:firehose:us-east-1:123456789012:deliverystream/access-log" {
		t.Errorf("ARN: %s", *out.DeliveryStreamARN)
	}
	d, err := f.client.DescribeDeliveryStream(ctx, &sdk.DescribeDeliveryStreamInput{DeliveryStreamName: name})
	if err != nil {
		t.Fatal(err)
	}
	s := d.DeliveryStreamDescription
	if s.DeliveryStreamStatus != types.DeliveryStreamStatusActive || *s.VersionId != "1" || s.DeliveryStreamType != types.DeliveryStreamTypeDirectPut ||
		!s.CreateTimestamp.Equal(created) || *s.HasMoreDestinations || len(s.Destinations) != 1 {
		t.Errorf("description: %+v", s)
	}
	dest := s.Destinations[0]
	e := dest.ExtendedS3DestinationDescription
	if *dest.DestinationId != "destinationId-000000000001" || *dest.S3DestinationDescription.BucketARN != *bucket ||
		*e.Prefix != "logs/dt=!{timestamp:yyyy-MM-dd}/" || *e.BufferingHints.SizeInMBs != 64 || e.CompressionFormat != types.CompressionFormatGzip ||
		e.EncryptionConfiguration.NoEncryptionConfig != types.NoEncryptionConfigNoEncryption || *e.CustomTimeZone != "Europe/Berlin" ||
		e.S3BackupMode != types.S3BackupModeEnabled || *e.S3BackupDescription.BufferingHints.IntervalInSeconds != 300 ||
		e.S3BackupDescription.CompressionFormat != types.CompressionFormatUncompressed {
		t.Errorf("destination: %+v", e)
	}
	var params []string
	for _, p := range e.ProcessingConfiguration.Processors[0].Parameters {
		params = append(params, string(p.ParameterName)+"="+*p.ParameterValue)
	}
	if want := []string{"LambdaArn=arn:aws:lambda:us-east-1:123456789012:function:f", "NumberOfRetries=3", "RoleArn=" + *role, "BufferSizeInMBs=1", "BufferIntervalInSeconds=60"}; !slices.Equal(params, want) {
		t.Errorf("parameters: %q, want %q", params, want)
	}

	one, err := f.client.PutRecord(ctx, &sdk.PutRecordInput{DeliveryStreamName: name, Record: &types.Record{Data: []byte("first\n")}})
	if err != nil || len(*one.RecordId) != 62 || *one.Encrypted {
		t.Errorf("PutRecord: %+v, %v", one, err)
	}
	var records []types.Record
	for i := range 500 {
		records = append(records, types.Record{Data: bytes.Repeat([]byte{byte(i)}, i)})
	}
	many, err := f.client.PutRecordBatch(ctx, &sdk.PutRecordBatchInput{DeliveryStreamName: name, Records: records})
	if err != nil || *many.FailedPutCount != 0 || len(many.RequestResponses) != 500 {
		t.Fatalf("PutRecordBatch: %+v, %v", many, err)
	}
	ids := map[string]bool{*one.RecordId: true}
	for _, r := range many.RequestResponses {
		ids[*r.RecordId] = true
	}
	if len(ids) != 501 {
		t.Errorf("%d different ids of 501", len(ids))
	}
	page, err := f.streams.engine.Read(ctx, streams.ShardRef{Stream: "$access-log"}, streams.Position{Kind: streams.Horizon}, streams.Limit{Bytes: 1 << 20})
	if err != nil || len(page.Records) != 501 || string(page.Records[0].Data) != "first\n" || !bytes.Equal(page.Records[500].Data, records[499].Data) {
		t.Errorf("on the log: %d records, %v", len(page.Records), err)
	}

	if _, err := f.client.DeleteDeliveryStream(ctx, &sdk.DeleteDeliveryStreamInput{DeliveryStreamName: name}); err != nil {
		t.Fatal(err)
	}
	_, err = f.client.DescribeDeliveryStream(ctx, &sdk.DescribeDeliveryStreamInput{DeliveryStreamName: name})
	if gone := new(types.ResourceNotFoundException); !errors.As(err, &gone) || gone.ErrorMessage() != "Firehose access-log under account 123456789012 not found." {
		t.Errorf("after the end: %v", err)
	}
}

func TestHTTPEndpoint(t *testing.T) {
	f := setup(t)
	ctx := t.Context()
	name := aws.String("hook")
	if _, err := f.client.CreateDeliveryStream(ctx, &sdk.CreateDeliveryStreamInput{
		DeliveryStreamName:               name,
		DeliveryStreamType:               types.DeliveryStreamTypeKinesisStreamAsSource,
		KinesisStreamSourceConfiguration: &types.KinesisStreamSourceConfiguration{KinesisStreamARN: aws.String("arn:aws:kinesis:us-east-1:123456789012:stream/clicks"), RoleARN: role},
		HttpEndpointDestinationConfiguration: &types.HttpEndpointDestinationConfiguration{
			EndpointConfiguration: &types.HttpEndpointConfiguration{Url: aws.String("http://127.0.0.1:8080/in"), Name: aws.String("hook"), AccessKey: aws.String("hush")},
			RequestConfiguration: &types.HttpEndpointRequestConfiguration{
				ContentEncoding:  types.ContentEncodingGzip,
				CommonAttributes: []types.HttpEndpointCommonAttribute{{AttributeName: aws.String("env"), AttributeValue: aws.String("prod")}},
			},
			S3BackupMode:    types.HttpEndpointS3BackupModeAllData,
			S3Configuration: &types.S3DestinationConfiguration{RoleARN: role, BucketARN: bucket, Prefix: aws.String("failed/")},
		},
	}); err != nil {
		t.Fatal(err)
	}
	def, _ := f.streams.Get("hook")
	want := &firehose.HTTPDestination{
		URL: "http://127.0.0.1:8080/in", Name: "hook", AccessKey: "hush", Gzip: true,
		Attributes: []firehose.Attribute{{Name: "env", Value: "prod"}},
		Buffering:  firehose.Buffering{SizeMB: 5, IntervalSeconds: 300}, RetrySeconds: 300, AllData: true,
		S3: firehose.S3Location{
			RoleARN: *role, BucketARN: *bucket, Bucket: "lake", Prefix: "failed/",
			Buffering: firehose.Buffering{SizeMB: 5, IntervalSeconds: 300}, Compression: firehose.Uncompressed,
		},
	}
	if got := def.Definition; !reflect.DeepEqual(got.HTTP, want) || *got.Source != (firehose.KinesisSource{
		StreamARN: "arn:aws:kinesis:us-east-1:123456789012:stream/clicks", Stream: "clicks", RoleARN: *role,
	}) {
		t.Errorf("definition: %+v %+v", got.HTTP, got.Source)
	}
	d, err := f.client.DescribeDeliveryStream(ctx, &sdk.DescribeDeliveryStreamInput{DeliveryStreamName: name})
	if err != nil {
		t.Fatal(err)
	}
	h := d.DeliveryStreamDescription.Destinations[0].HttpEndpointDestinationDescription
	if *h.EndpointConfiguration.Url != "http://127.0.0.1:8080/in" || *h.RetryOptions.DurationInSeconds != 300 || h.S3BackupMode != types.HttpEndpointS3BackupModeAllData ||
		h.RequestConfiguration.ContentEncoding != types.ContentEncodingGzip || *h.S3DestinationDescription.Prefix != "failed/" ||
		*d.DeliveryStreamDescription.Source.KinesisStreamSourceDescription.KinesisStreamARN != "arn:aws:kinesis:us-east-1:123456789012:stream/clicks" {
		t.Errorf("description: %+v", h)
	}
	if _, body := f.raw("DescribeDeliveryStream", `{"DeliveryStreamName":"hook"}`); strings.Contains(body, "hush") {
		t.Errorf("the access key is described: %s", body)
	}
	_, err = f.client.PutRecord(ctx, &sdk.PutRecordInput{DeliveryStreamName: name, Record: &types.Record{Data: []byte("x")}})
	if refused := new(types.InvalidArgumentException); !errors.As(err, &refused) ||
		refused.ErrorMessage() != "This operation is not permitted on KinesisStreamAsSource delivery stream type." {
		t.Errorf("put: %v", err)
	}
}

// TestRawIsTheDefinition: what is kept makes the same definition again.
func TestRawIsTheDefinition(t *testing.T) {
	f := setup(t)
	in := `{
	  "DeliveryStreamName": "a", "SomethingNew": [1, "tw\u00f6", null],
	  "DeliveryStreamEncryptionConfigurationInput": {"KeyType": "AWS_OWNED_CMK"},
	  "S3DestinationConfiguration": {"RoleARN": "` + *role + `", "BucketARN": "` + *bucket + `", "Prefix": "p\/\"q\"/",
	    "CloudWatchLoggingOptions": {"Enabled": true, "LogGroupName": "g", "LogStreamName": "s"},
	    "EncryptionConfiguration": {"KMSEncryptionConfig": {"AWSKMSKeyARN": "arn:aws:kms:x"}}},
	  "Tags": [{"Key": "k"}]
	}`
	if status, body := f.raw("CreateDeliveryStream", in); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	d, _ := f.streams.Get("a")
	again, err := firehose.ParseDefinition(d.Definition.Raw)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(again, d.Definition) {
		t.Errorf("got  %+v\nwant %+v", again, d.Definition)
	}
	if !bytes.Contains(d.Definition.Raw, []byte(`"SomethingNew":[1,"twö",null]`)) || again.S3.Prefix != `p/"q"/` || again.Encryption.KeyType != "AWS_OWNED_CMK" {
		t.Errorf("raw: %s", d.Definition.Raw)
	}
	for _, bad := range []string{"", "{", "[]", `{"DeliveryStreamName":"a"}`, `{"DeliveryStreamName":1}`} {
		if _, err := firehose.ParseDefinition([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestTexts(t *testing.T) {
	f := setup(t)
	s3 := func(more string) string {
		return `{"DeliveryStreamName":"n","ExtendedS3DestinationConfiguration":{"RoleARN":"` + *role + `","BucketARN":"` + *bucket + `"` + more + `}}`
	}
	processing := func(more string) string {
		return s3(`,"ProcessingConfiguration":{"Enabled":true,"Processors":[` + more + `]}`)
	}
	lambda := func(name, value string) string {
		return `{"Type":"Lambda","Parameters":[{"ParameterName":"LambdaArn","ParameterValue":"a"},{"ParameterName":"` + name + `","ParameterValue":"` + value + `"}]}`
	}
	endpoint := func(url, request string) string {
		return `{"DeliveryStreamName":"n","HttpEndpointDestinationConfiguration":{"EndpointConfiguration":{"Url":"` + url + `"},"RequestConfiguration":{` + request +
			`},"S3Configuration":{"RoleARN":"` + *role + `","BucketARN":"` + *bucket + `"}}}`
	}
	if status, body := f.raw("CreateDeliveryStream", strings.Replace(s3(""), `"n"`, `"there"`, 1)); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	record := func(n int) string { return `{"Data":"` + base64.StdEncoding.EncodeToString(make([]byte, n)) + `"}` }
	const ia, ve = "InvalidArgumentException", "ValidationException"
	const violation = "1 validation error detected: Value at '"
	for _, tt := range []struct{ operation, body, code, message string }{
		{"CreateDeliveryStream", `{}`, ve, violation + "deliveryStreamName' failed to satisfy constraint: Member must not be null"},
		{"CreateDeliveryStream", s3(`,"CompressionFormat":"gzip"`), ve, violation + "extendedS3DestinationConfiguration.compressionFormat' failed to satisfy constraint: Member must satisfy enum value set: [ZIP, HADOOP_SNAPPY, Snappy, GZIP, UNCOMPRESSED]"},
		{"CreateDeliveryStream", s3(`,"BufferingHints":{"SizeInMBs":129}`), ve, violation + "extendedS3DestinationConfiguration.bufferingHints.sizeInMBs' failed to satisfy constraint: Member must have value less than or equal to 128"},
		{"CreateDeliveryStream", s3(`,"FileExtension":"gz"`), ve, violation + `extendedS3DestinationConfiguration.fileExtension' failed to satisfy constraint: Member must satisfy regular expression pattern: ^$|\.[0-9a-z!\-_.*'()]+`},
		{"CreateDeliveryStream", `{"DeliveryStreamName":"n"}`, ia, "Exactly one destination configuration is supported for a Firehose"},
		{"CreateDeliveryStream", `{"DeliveryStreamName":"n","SplunkDestinationConfiguration":{},"RedshiftDestinationConfiguration":{}}`, ia, "Exactly one destination configuration is supported for a Firehose"},
		{"CreateDeliveryStream", `{"DeliveryStreamName":"n","SplunkDestinationConfiguration":{"HECEndpoint":"x"}}`, ia, "SplunkDestinationConfiguration is not available here. Use ExtendedS3DestinationConfiguration or HttpEndpointDestinationConfiguration, or declare the delivery stream in the configuration file of this server."},
		{"CreateDeliveryStream", strings.Replace(s3(""), `{`, `{"DeliveryStreamType":"KinesisStreamAsSource",`, 1), ia, "KinesisSourceStreamConfig is mandatory for KinesisStreamAsSource stream type."},
		{"CreateDeliveryStream", strings.Replace(s3(""), `{`, `{"DeliveryStreamType":"DatabaseAsSource",`, 1), ia, "IcebergDestinationConfiguration must be specified for Database as Source."},
		{"CreateDeliveryStream", strings.Replace(s3(""), `{`, `{"DeliveryStreamType":"MSKAsSource",`, 1), ia, "DeliveryStreamType MSKAsSource is not available here. Use DirectPut or KinesisStreamAsSource."},
		{"CreateDeliveryStream", strings.Replace(s3(""), `"n"`, `"there"`, 1), "ResourceInUseException", "Firehose there under accountId 123456789012 already exists"},
		{"CreateDeliveryStream", s3(`,"Prefix":"!{timestamp:yyyy}/"`), ia, "Ths supplied prefix(es) do not satisfy the following constraint: ErrorOutputPrefix cannot be null or empty when Prefix contains expressions"},
		{"CreateDeliveryStream", s3(`,"ErrorOutputPrefix":"e/!{timestamp:yyyy}/"`), ia, "ErrorOutputPrefix must contain at least one occurrence of !{firehose:error-output-type}"},
		{"CreateDeliveryStream", s3(`,"Prefix":"!{firehose:error-output-type}/"`), ia, "Prefix must not contain any occurrence of !{firehose:error-output-type}"},
		{"CreateDeliveryStream", s3(`,"Prefix":"!{timestamp:yyyy-bb}/"`), ia, "Invalid conversion character used in the value of the expression in Prefix"},
		{"CreateDeliveryStream", s3(`,"Prefix":"!{timestamp:yyyy"`), ia, "Invalid conversion character used in the value of the expression in Prefix"},
		{"CreateDeliveryStream", s3(`,"Prefix":"!{firehose:host}"`), ia, "Invalid conversion character used in the value of the expression in Prefix"},
		{"CreateDeliveryStream", s3(`,"ErrorOutputPrefix":"!{partitionKeyFromQuery:a}"`), ia, "Dynamic Partitioning Namespaces can't be part of an error prefix expression"},
		{"CreateDeliveryStream", s3(`,"Prefix":"` + strings.Repeat("p", 513) + `"`), ia, "Length of evaluated prefix cannot be greater than 512"},
		{"CreateDeliveryStream", s3(`,"S3BackupMode":"Enabled"`), ia, "S3 backup destination configuration is required when enabling S3 backup."},
		{"CreateDeliveryStream", s3(`,"DataFormatConversionConfiguration":{}`), ia, "DataFormatConversionConfiguration: format conversion is not available for delivery streams made by this API yet. Declare the delivery stream in the configuration file of this server, with format: {parquet: ...}."},
		{"CreateDeliveryStream", s3(`,"DynamicPartitioningConfiguration":{"Enabled":true}`), ia, "DynamicPartitioningConfiguration: dynamic partitioning is not available yet."},
		{"CreateDeliveryStream", processing(""), ia, "A maximum of 5 and a minimum of 1 processor needs to be supplied when processing is enabled."},
		{"CreateDeliveryStream", processing(lambda("RoleArn", "r") + "," + lambda("RoleArn", "r")), ia, "Cannot have more than 1 Lambda processor."},
		{"CreateDeliveryStream", processing(`{"Type":"Lambda"}`), ia, "LambdaArn is required when Lambda processor is used."},
		{"CreateDeliveryStream", processing(lambda("NumberOfRetries", "301")), ia, "Number of retries for lambda must be between 0 and 300."},
		{"CreateDeliveryStream", processing(lambda("NumberOfRetries", "three")), ia, "Number of retries for lambda must be between 0 and 300."},
		{"CreateDeliveryStream", processing(lambda("BufferSizeInMBs", "0.1")), ia, "BufferSizeInMBs for lambda processor must be between 0.2 and 3."},
		{"CreateDeliveryStream", processing(`{"Type":"RecordDeAggregation"}`), ia, "SubRecordType has to be one of JSON, DELIMITED"},
		{"CreateDeliveryStream", processing(`{"Type":"MetadataExtraction"}`), ia, "MetaDataExtraction JSON Parsing Engine has to be one of JQ-1.6"},
		{"CreateDeliveryStream", endpoint("http:///x", ""), ia, `EndpointConfiguration.Url: "http:///x" is not a URL with a host.`},
		{"CreateDeliveryStream", endpoint("http://h/", `"CommonAttributes":[{"AttributeName":"a","AttributeValue":"1"},{"AttributeName":"a","AttributeValue":"2"}]`), ia, "Http Endpoint Common Attributes have duplicate name a"},
		{"DescribeDeliveryStream", `{"DeliveryStreamName":"x"}`, "ResourceNotFoundException", "Firehose x under account 123456789012 not found."},
		{"DeleteDeliveryStream", `{"DeliveryStreamName":"x"}`, "ResourceNotFoundException", "Firehose x under account 123456789012 not found."},
		{"PutRecord", `{"DeliveryStreamName":"x","Record":{"Data":""}}`, "ResourceNotFoundException", "Firehose x under account 123456789012 not found."},
		{"PutRecord", `{"DeliveryStreamName":"there"}`, ve, violation + "record' failed to satisfy constraint: Member must not be null"},
		{"PutRecord", `{"DeliveryStreamName":"there","Record":` + record(1_024_001) + `}`, ve, violation + "record.data' failed to satisfy constraint: Member must have length less than or equal to 1024000"},
		{"PutRecordBatch", `{"DeliveryStreamName":"there","Records":[]}`, ve, violation + "records' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{"PutRecordBatch", `{"DeliveryStreamName":"there","Records":[` + strings.Repeat(record(0)+",", 500) + record(0) + `]}`, ve, violation + "records' failed to satisfy constraint: Member must have length less than or equal to 500"},
		{"PutRecordBatch", `{"DeliveryStreamName":"there","Records":[` + strings.Repeat(record(1_024_000)+",", 4) + record(100_000) + `]}`, ia, "Records size exceeds 4 MB limit"},
	} {
		status, got := f.raw(tt.operation, tt.body)
		want := `{"__type":"` + tt.code + `","message":"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(tt.message) + `"}`
		if status != 400 || got != want {
			t.Errorf("%s %.300s:\ngot  %d %s\nwant 400 %s", tt.operation, tt.body, status, got, want)
		}
	}
	if got := f.streams.Names(); len(got) != 1 {
		t.Errorf("delivery streams: %q", got)
	}
	for _, operation := range []string{"UpdateDestination", "TagDeliveryStream"} {
		if status, got := f.raw(operation, `{}`); status != 400 || got != `{"__type":"UnknownOperationException"}` {
			t.Errorf("%s: got %d %s", operation, status, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	f := setup(t)
	create := `{"DeliveryStreamName":"n","S3DestinationConfiguration":{"RoleARN":"` + *role + `","BucketARN":"` + *bucket + `"}}`
	if status, body := f.raw("CreateDeliveryStream", create); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	put := `{"DeliveryStreamName":"n","Records":[{"Data":"QQ=="}]}`
	const slow = `{"__type":"ServiceUnavailableException","message":"Slow down."}`
	const internal = `{"__type":"InternalFailureException","message":"Internal service failure."}`
	for _, tt := range []struct {
		operation, body string
		err             error
		status          int
		want            string
	}{
		{"PutRecordBatch", put, firehose.ErrBusy, 503, slow},
		{"PutRecordBatch", put, fmt.Errorf("log: %w", streams.ErrFull), 503, slow},
		{"PutRecordBatch", put, streams.ErrReadOnly, 500, internal},
		{"PutRecord", `{"DeliveryStreamName":"n","Record":{"Data":"QQ=="}}`, firehose.ErrBusy, 503, slow},
		{
			"CreateDeliveryStream", strings.Replace(create, `"n"`, `"m"`, 1), fmt.Errorf("%w: transform lambda: no endpoint is set", firehose.ErrInvalid), 400,
			`{"__type":"InvalidArgumentException","message":"definition cannot be carried out: transform lambda: no endpoint is set"}`,
		},
	} {
		f.streams.refuse = tt.err
		if status, got := f.raw(tt.operation, tt.body); status != tt.status || got != tt.want {
			t.Errorf("%s after %v: got %d %s, want %d %s", tt.operation, tt.err, status, got, tt.status, tt.want)
		}
	}
	f.streams.refuse = nil
	f.streams.declared = "n"
	if status, got := f.raw("DeleteDeliveryStream", `{"DeliveryStreamName":"n"}`); status != 400 ||
		got != `{"__type":"ResourceInUseException","message":"Firehose n under account 123456789012 is declared in the configuration file of this server. Remove it there."}` {
		t.Errorf("declared: %d %s", status, got)
	}
}

func TestListing(t *testing.T) {
	f := setup(t)
	for i := range 20 {
		if status, body := f.raw("CreateDeliveryStream", fmt.Sprintf(
			`{"DeliveryStreamName":"n%02d","S3DestinationConfiguration":{"RoleARN":%q,"BucketARN":%q}}`, i, *role, *bucket)); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	if status, got := f.raw("CreateDeliveryStream", `{"DeliveryStreamName":"n20","S3DestinationConfiguration":{"RoleARN":"`+*role+`","BucketARN":"`+*bucket+`"}}`); status != 400 ||
		got != `{"__type":"LimitExceededException","message":"You have already consumed your firehose quota of 20 hoses."}` {
		t.Errorf("one more: %d %s", status, got)
	}
	for _, tt := range []struct{ in, want string }{
		{`{}`, `{"DeliveryStreamNames":["n00","n01","n02","n03","n04","n05","n06","n07","n08","n09"],"HasMoreDeliveryStreams":true}`},
		{`{"Limit":2,"ExclusiveStartDeliveryStreamName":"n17"}`, `{"DeliveryStreamNames":["n18","n19"],"HasMoreDeliveryStreams":false}`},
		{`{"DeliveryStreamType":"KinesisStreamAsSource"}`, `{"DeliveryStreamNames":[],"HasMoreDeliveryStreams":false}`},
		{`{"DeliveryStreamType":"DirectPut","Limit":1}`, `{"DeliveryStreamNames":["n00"],"HasMoreDeliveryStreams":true}`},
	} {
		if status, got := f.raw("ListDeliveryStreams", tt.in); status != 200 || got != tt.want {
			t.Errorf("%s: got %d %s, want %s", tt.in, status, got, tt.want)
		}
	}
}

// FuzzParseDefinition reads anything as a definition that was kept.
func FuzzParseDefinition(f *testing.F) {
	f.Add([]byte(`{"DeliveryStreamName":"n","S3DestinationConfiguration":{"RoleARN":"arn:aws:iam::123456789012:role/r","BucketARN":"arn:aws:s3:::b","Prefix":"!{timestamp:'x'yyyy}","ErrorOutputPrefix":"!{firehose:error-output-type}"}}`))
	f.Add([]byte(`{"DeliveryStreamName":"n","HttpEndpointDestinationConfiguration":{"EndpointConfiguration":{"Url":"http://h"},"S3Configuration":{"RoleARN":"arn:aws:iam::123456789012:role/r","BucketARN":"arn:aws:s3:::b"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := firehose.ParseDefinition(raw)
		if err != nil {
			return
		}
		again, err := firehose.ParseDefinition(d.Raw)
		if err != nil || !reflect.DeepEqual(d, again) {
			t.Fatalf("raw form %s: got %+v (%v), want %+v", d.Raw, again, err, d)
		}
		if (d.S3 == nil) == (d.HTTP == nil) {
			t.Fatal("not one destination")
		}
	})
}
