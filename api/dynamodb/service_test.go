package dynamodb_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firehosed/firehosed/access"
	"github.com/firehosed/firehosed/api/dynamodb"
	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/internal/vfs/memfs"
	"github.com/firehosed/firehosed/leases"
	"github.com/firehosed/firehosed/streams/wal"
)

// fixture is the API on a log in memory.
type fixture struct {
	t       testing.TB
	handler http.Handler
}

func open(t testing.TB) *fixture {
	t.Helper()
	log, err := wal.Open("/data", wal.Options{FS: memfs.New(), MinFreeBytes: -1, BallastBytes: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = log.Close() })
	store, err := leases.Open(t.Context(), leases.Options{Engine: log, MaxBytes: 1 << 20, MaxTables: 4})
	if err != nil {
		t.Fatal(err)
	}
	s, err := dynamodb.New(dynamodb.Options{
		Store: store, Region: "us-east-1", AccountID: "123456789012",
		Clock: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) },
	})
	if err != nil {
		t.Fatal(err)
	}
	h, err := wire.NewHandler(wire.Options{Services: []wire.Service{s.Wire()}, Access: access.Anyone{}})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{t: t, handler: h}
}

// call sends a request and returns status and body.
func (f *fixture) call(operation, body string) (int, string) {
	f.t.Helper()
	r := httptest.NewRequestWithContext(f.t.Context(), http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); got != "application/x-amz-json-1.0" {
		f.t.Errorf("%s: content type %q", operation, got)
	}
	return w.Code, w.Body.String()
}

func (f *fixture) must(operation, body string) string {
	f.t.Helper()
	status, out := f.call(operation, body)
	if status != http.StatusOK {
		f.t.Fatalf("%s %s: %d %s", operation, body, status, out)
	}
	return out
}

const leaseTable = `{"TableName":"app","AttributeDefinitions":[{"AttributeName":"leaseKey","AttributeType":"S"},{"AttributeName":"leaseOwner","AttributeType":"S"}],` +
	`"KeySchema":[{"AttributeName":"leaseKey","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST","GlobalSecondaryIndexes":[{"IndexName":"owners",` +
	`"KeySchema":[{"AttributeName":"leaseOwner","KeyType":"HASH"},{"AttributeName":"leaseKey","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]}`

// withLeases has a table of leases with one lease, and one with a range key.
func withLeases(t testing.TB) *fixture {
	f := open(t)
	f.must("CreateTable", leaseTable)
	f.must("CreateTable", `{"TableName":"ranged","AttributeDefinitions":[{"AttributeName":"h","AttributeType":"N"},{"AttributeName":"r","AttributeType":"B"}],`+
		`"KeySchema":[{"AttributeName":"h","KeyType":"HASH"},{"AttributeName":"r","KeyType":"RANGE"}],"ProvisionedThroughput":{"ReadCapacityUnits":5,"WriteCapacityUnits":6}}`)
	f.must("PutItem", `{"TableName":"app","Item":{"leaseKey":{"S":"a"},"leaseCounter":{"N":"1"}}}`)
	return f
}

// validation and the others begin the answers of their kind.
const (
	validation = `{"__type":"com.amazon.coral.validate#ValidationException","message":`
	notFound   = `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"Requested resource not found`
	refused    = `{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException","message":"The conditional request failed"`
	serial     = `{"__type":"com.amazon.coral.service#SerializationException","message":`
	wrongParam = validation + `"One or more parameter values were invalid: `
)

// TestTexts asserts the answers that clients and their users see, literally.
func TestTexts(t *testing.T) {
	put := func(item string) string { return `{"TableName":"app","Item":` + item + `}` }
	update := func(members string) string { return `{"TableName":"app","Key":{"leaseKey":{"S":"a"}},` + members + `}` }
	lease := func(value string) string { return put(`{"leaseKey":{"S":"b"},"x":` + value + `}`) }
	for _, tt := range []struct{ operation, body, want string }{
		{"GetItem", `{"TableName":"none","Key":{"leaseKey":{"S":"a"}}}`, notFound + `"}`},
		{"DescribeTable", `{"TableName":"none"}`, notFound + `: Table: none not found"}`},
		{"DeleteTable", `{"TableName":"none"}`, notFound + `: Table: none not found"}`},
		{"DescribeTable", `{"TableName":"a"}`, validation + `"Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'"}`},
		{"DescribeTable", `{}`, validation + `"1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not be null"}`},
		{"CreateTable", leaseTable, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceInUseException","message":"Table already exists: app"}`},
		{"DescribeEndpoints", `{}`, `{"__type":"com.amazon.coral.service#UnknownOperationException"}`},

		// Keys and items.
		{"PutItem", put(`{"x":{"S":"b"}}`), wrongParam + `Missing the key leaseKey in the item"}`},
		{"PutItem", put(`{"leaseKey":{"N":"1"}}`), wrongParam + `Type mismatch for key leaseKey expected: S actual: N"}`},
		{"PutItem", put(`{"leaseKey":{"S":""}}`), validation + `"One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: leaseKey"}`},
		{"PutItem", put(`{"leaseKey":{"S":"` + strings.Repeat("k", 2049) + `"}}`), wrongParam + `Size of hashkey has exceeded the maximum size limit of2048 bytes"}`},
		{"PutItem", `{"TableName":"ranged","Item":{"h":{"N":"1"},"r":{"B":"` + strings.Repeat("AAAA", 342) + `"}}}`, wrongParam + `Aggregated size of all range keys has exceeded the size limit of 1024 bytes"}`},
		{"PutItem", put(`{"leaseKey":{"S":"b"},"leaseOwner":{"N":"1"}}`), wrongParam + `Type mismatch for Index Key leaseOwner Expected: S Actual: N IndexName: owners"}`},
		{"PutItem", put(`{"leaseKey":{"S":"b"},"leaseOwner":{"S":""}}`), validation + `"One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty string value. IndexName: owners, IndexKey: leaseOwner"}`},
		{"PutItem", lease(`{"S":"` + strings.Repeat("x", 400<<10) + `"}`), validation + `"Item size has exceeded the maximum allowed size"}`},
		{"GetItem", `{"TableName":"app","Key":{"leaseKey":{"N":"1"}}}`, validation + `"The provided key element does not match the schema"}`},
		{"GetItem", `{"TableName":"app","Key":{"leaseKey":{"S":"a"},"x":{"S":"a"}}}`, validation + `"The provided key element does not match the schema"}`},
		{"GetItem", `{"TableName":"ranged","Key":{"h":{"N":"1"}}}`, validation + `"The provided key element does not match the schema"}`},

		// Attribute values.
		{"PutItem", lease(`{}`), validation + `"Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"}`},
		{"PutItem", lease(`{"S":"a","N":"1"}`), validation + `"Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes"}`},
		{"PutItem", lease(`{"N":"one"}`), validation + `"The parameter cannot be converted to a numeric value: one"}`},
		{"PutItem", lease(`{"N":""}`), validation + `"The parameter cannot be converted to a numeric value"}`},
		{"PutItem", lease(`{"N":"1e126"}`), validation + `"Number overflow. Attempting to store a number with magnitude larger than supported range"}`},
		{"PutItem", lease(`{"N":"1e-131"}`), validation + `"Number underflow. Attempting to store a number with magnitude smaller than supported range"}`},
		{"PutItem", lease(`{"N":"` + strings.Repeat("1", 39) + `"}`), validation + `"Attempting to store more than 38 significant digits in a Number"}`},
		{"PutItem", lease(`{"NULL":false}`), wrongParam + `Null attribute value types must have the value of true"}`},
		{"PutItem", lease(`{"SS":[]}`), wrongParam + `An string set  may not be empty"}`},
		{"PutItem", lease(`{"NS":[]}`), wrongParam + `An number set  may not be empty"}`},
		{"PutItem", lease(`{"BS":[]}`), wrongParam + `Binary sets should not be empty"}`},
		{"PutItem", lease(`{"SS":["a","a"]}`), wrongParam + `Input collection [a, a] contains duplicates."}`},
		{"PutItem", lease(`{"NS":["1","1.0"]}`), validation + `"Input collection contains duplicates"}`},
		{"PutItem", lease(`{"S":1}`), serial + `"NUMBER_VALUE cannot be converted to String"}`},
		{"PutItem", lease(`{"BOOL":"x"}`), serial + `"STRING_VALUE cannot be converted to Boolean"}`},
		{"PutItem", lease(`{"B":"?"}`), serial + `"Invalid Base64 in a binary value"}`},
		{"PutItem", lease(`"text"`), serial + `"STRING_VALUE cannot be converted to AttributeValue"}`},
		{"PutItem", lease(`{"L":{}}`), serial + `"Start of structure or map found where not expected."}`},

		// Conditions.
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"Expected":{"leaseKey":{"Exists":false}}`), refused + `}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"ConditionExpression":"attribute_not_exists(leaseKey)","ReturnValuesOnConditionCheckFailure":"ALL_OLD"`), refused + `,"Item":{"leaseKey":{"S":"a"},"leaseCounter":{"N":"1"}}}`},
		{"DeleteItem", update(`"Expected":{"leaseCounter":{"Value":{"N":"2"}}}`), refused + `}`},
		{"DeleteItem", update(`"Expected":{"a":{"ComparisonOperator":"NOT_NULL"},"b":{"ComparisonOperator":"NOT_NULL"}},"ConditionalOperator":"OR"`), refused + `}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"Expected":{"x":{}}`), wrongParam + `Value must be provided when Exists is null for Attribute: x"}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"Expected":{"x":{"Exists":true}}`), wrongParam + `Value must be provided when Exists is true for Attribute: x"}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"Expected":{"x":{"Exists":false,"Value":{"S":"a"}}}`), wrongParam + `Value cannot be used when Exists is set to false for Attribute: x"}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"Expected":{"x":{"Exists":true,"ComparisonOperator":"NULL"}}`), wrongParam + `Exists and ComparisonOperator cannot be used together for Attribute: x"}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"Expected":{"x":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"N":"1"}]}}`), wrongParam + `Invalid number of argument(s) for the BETWEEN ComparisonOperator"}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"Expected":{"x":{"Exists":false}},"ConditionExpression":"a = b"`), validation + `"Can not use both expression and non-expression parameters in the same request: Non-expression parameters: {Expected} Expression parameters: {ConditionExpression}"}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"ExpressionAttributeNames":{"#a":"a"}`), validation + `"ExpressionAttributeNames can only be specified when using expressions"}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"ConditionExpression":"#a = :v","ExpressionAttributeNames":{"#a":"a","#b":"b"},"ExpressionAttributeValues":{":v":{"S":"v"}}`), validation + `"Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}"}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"ConditionExpression":"a = :v","ExpressionAttributeValues":{":v":{"S":"v"},":w":{"S":"v"}}`), validation + `"Value provided in ExpressionAttributeValues unused in expressions: keys: {:w}"}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"ConditionExpression":"a = :v","ExpressionAttributeValues":{"v":{"S":"v"}}`), validation + `"ExpressionAttributeValues contains invalid key: Syntax error; key: \"v\""}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"ConditionExpression":"a = :v","ExpressionAttributeValues":{":v":{"N":"x"}}`), validation + `"ExpressionAttributeValues contains invalid value: The parameter cannot be converted to a numeric value: x for key :v"}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"ConditionExpression":"a b c"`), validation + `"Invalid ConditionExpression: Syntax error; token: \"b\", near: \"a b c\""}`},
		{"PutItem", put(`{"leaseKey":{"S":"a"}},"ReturnValues":"ALL_NEW"`), validation + `"ReturnValues can only be ALL_OLD or NONE"}`},

		// Updates.
		{"UpdateItem", update(`"UpdateExpression":"SET leaseKey = :v","ExpressionAttributeValues":{":v":{"S":"v"}}`), wrongParam + `Cannot update attribute leaseKey. This attribute is part of the key"}`},
		{"UpdateItem", update(`"AttributeUpdates":{"leaseKey":{"Value":{"S":"v"}}}`), wrongParam + `Cannot update attribute leaseKey. This attribute is part of the key"}`},
		{"UpdateItem", update(`"UpdateExpression":"SET x = y"`), validation + `"The provided expression refers to an attribute that does not exist in the item"}`},
		{"UpdateItem", update(`"UpdateExpression":"SET x = "`), validation + `"Invalid UpdateExpression: Syntax error; token: \"<EOF>\", near: \"=\""}`},
		{"UpdateItem", update(`"AttributeUpdates":{"x":{"Action":"PUT"}}`), wrongParam + `Only DELETE action is allowed when no attribute value is specified"}`},
		{"UpdateItem", update(`"AttributeUpdates":{"x":{"Action":"ADD","Value":{"S":"a"}}}`), wrongParam + `ADD action is not supported for the type S"}`},
		{"UpdateItem", update(`"AttributeUpdates":{"leaseCounter":{"Action":"ADD","Value":{"SS":["a"]}}}`), validation + `"Type mismatch for attribute to update"}`},

		// Reads.
		{"Scan", `{"TableName":"app","Segment":2,"TotalSegments":2}`, validation + `"The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: 2 is not less than TotalSegments: 2"}`},
		{"Scan", `{"TableName":"app","Segment":0}`, validation + `"The TotalSegments parameter is required but was not present in the request when Segment parameter is present"}`},
		{"Scan", `{"TableName":"app","IndexName":"none"}`, validation + `"The table does not have the specified index: none"}`},
		{"Scan", `{"TableName":"app","ExclusiveStartKey":{"x":{"S":"a"}}}`, validation + `"The provided starting key is invalid"}`},
		{"Query", `{"TableName":"app"}`, validation + `"Either the KeyConditions or KeyConditionExpression parameter must be specified in the request."}`},
		{"Query", `{"TableName":"app","IndexName":"owners","ConsistentRead":true,"KeyConditionExpression":"a = :v","ExpressionAttributeValues":{":v":{"S":"v"}}}`, validation + `"Consistent reads are not supported on global secondary indexes"}`},
		{"Query", `{"TableName":"app","KeyConditionExpression":"x = :v","ExpressionAttributeValues":{":v":{"S":"v"}}}`, validation + `"Query condition missed key schema element: leaseKey"}`},
		{"Query", `{"TableName":"app","KeyConditionExpression":"leaseKey > :v","ExpressionAttributeValues":{":v":{"S":"v"}}}`, validation + `"Query key condition not supported"}`},
		{"Query", `{"TableName":"app","KeyConditionExpression":"leaseKey = :v","ExpressionAttributeValues":{":v":{"N":"1"}}}`, wrongParam + `Condition parameter type does not match schema type"}`},
		{"Query", `{"TableName":"app","KeyConditionExpression":"leaseKey = :v","FilterExpression":"leaseKey = :v","ExpressionAttributeValues":{":v":{"S":"v"}}}`, validation + `"Filter Expression can only contain non-primary key attributes: Primary key attribute: leaseKey"}`},

		// Batches and transactions.
		{"BatchGetItem", `{"RequestItems":{"app":{"Keys":[{"leaseKey":{"S":"a"}},{"leaseKey":{"S":"a"}}]}}}`, validation + `"Provided list of item keys contains duplicates"}`},
		{"BatchWriteItem", `{"RequestItems":{"app":[{"DeleteRequest":{"Key":{"leaseKey":{"S":"a"}}}},{"PutRequest":{"Item":{"leaseKey":{"S":"a"}}}}]}}`, validation + `"Provided list of item keys contains duplicates"}`},
		{"TransactWriteItems", `{"TransactItems":[{"Delete":{"TableName":"app","Key":{"leaseKey":{"S":"a"}}}},{"Put":{"TableName":"app","Item":{"leaseKey":{"S":"a"}}}}]}`, validation + `"Transaction request cannot include multiple operations on one item"}`},
		{"TransactWriteItems", `{"TransactItems":[{}]}`, validation + `"Invalid Request: TransactWriteRequest should contain Delete or Put or Update request"}`},
		{
			"TransactWriteItems", `{"TransactItems":[{"Put":{"TableName":"app","Item":{"leaseKey":{"S":"z"}}}},` +
				`{"ConditionCheck":{"TableName":"app","Key":{"leaseKey":{"S":"a"}},"ConditionExpression":"leaseCounter = :v","ExpressionAttributeValues":{":v":{"N":"2"}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}}]}`,
			`{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","message":"Transaction cancelled, please refer cancellation reasons for specific reasons [None, ConditionalCheckFailed]",` +
				`"CancellationReasons":[{"Code":"None"},{"Code":"ConditionalCheckFailed","Message":"The conditional request failed","Item":{"leaseKey":{"S":"a"},"leaseCounter":{"N":"1"}}}]}`,
		},

		// What is not there.
		{"CreateTable", `{"TableName":"new","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST","LocalSecondaryIndexes":[{}]}`, validation + `"LocalSecondaryIndexes is not there: this is a store of leases, not all of DynamoDB."}`},
		{"UpdateTable", `{"TableName":"app","StreamSpecification":{"StreamEnabled":true}}`, validation + `"StreamSpecification is not there: this is a store of leases, not all of DynamoDB."}`},
		{"UpdateTimeToLive", `{"TableName":"app","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"ttl"}}`, validation + `"Expiry of items (TimeToLiveSpecification) is not there: this is a store of leases, not all of DynamoDB."}`},

		// Tables that cannot be.
		{"CreateTable", `{"TableName":"new","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}]}`, wrongParam + `ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED"}`},
		{"CreateTable", `{"TableName":"new","AttributeDefinitions":[],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}`, wrongParam + `Some index key attributes are not defined in AttributeDefinitions. Keys: [k], AttributeDefinitions: []"}`},
		{"CreateTable", `{"TableName":"new","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"},{"AttributeName":"l","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"HASH"}],"BillingMode":"PAY_PER_REQUEST"}`, wrongParam + `Some AttributeDefinitions are not used. AttributeDefinitions: [k, l]"}`},
		{"CreateTable", `{"TableName":"new","AttributeDefinitions":[{"AttributeName":"k","AttributeType":"S"}],"KeySchema":[{"AttributeName":"k","KeyType":"RANGE"}],"BillingMode":"PAY_PER_REQUEST"}`, validation + `"Invalid KeySchema: The first KeySchemaElement is not a HASH key type"}`},
	} {
		f := withLeases(t)
		status, got := f.call(tt.operation, tt.body)
		if status != http.StatusBadRequest || !sameMembers(got, tt.want) {
			t.Errorf("%s %.200s\ngot  %d %s\nwant %s", tt.operation, tt.body, status, got, tt.want)
		}
	}
}

// sameMembers compares answers in which an item may have its attributes in any
// order.
func sameMembers(got, want string) bool {
	if got == want {
		return true
	}
	return strings.Replace(got, `{"leaseCounter":{"N":"1"},"leaseKey":{"S":"a"}}`, `{"leaseKey":{"S":"a"},"leaseCounter":{"N":"1"}}`, 1) == want
}

// TestAnswers calls operations in a row and asserts what they answer.
func TestAnswers(t *testing.T) {
	f := withLeases(t)
	key := `"TableName":"app","Key":{"leaseKey":{"S":"b"}}`
	for _, tt := range []struct{ operation, body, want string }{
		{"ListTables", `{}`, `{"TableNames":["app","ranged"]}`},
		{"ListTables", `{"Limit":1}`, `{"TableNames":["app"],"LastEvaluatedTableName":"app"}`},
		{"ListTables", `{"ExclusiveStartTableName":"app"}`, `{"TableNames":["ranged"]}`},
		{"DescribeTable", `{"TableName":"ranged"}`, `{"Table":{"AttributeDefinitions":[{"AttributeName":"h","AttributeType":"N"},{"AttributeName":"r","AttributeType":"B"}],"TableName":"ranged",` +
			`"KeySchema":[{"AttributeName":"h","KeyType":"HASH"},{"AttributeName":"r","KeyType":"RANGE"}],"TableStatus":"ACTIVE","CreationDateTime":1772366400,` +
			`"ProvisionedThroughput":{"NumberOfDecreasesToday":0,"ReadCapacityUnits":5,"WriteCapacityUnits":6},"TableSizeBytes":0,"ItemCount":0,"TableArn":"arn:aws:dynamodb:us-east-1:123456789012:table/ranged","TableId":"*","DeletionProtectionEnabled":false}}`},
		{"GetItem", `{"TableName":"arn:aws:dynamodb:eu-west-1:000000000000:table/app","Key":{"leaseKey":{"S":"none"}}}`, `{}`},
		{"UpdateItem", `{` + key + `,"AttributeUpdates":{"x":{"Action":"DELETE"}},"ReturnValues":"ALL_NEW"}`, `{}`},
		{"GetItem", `{` + key + `}`, `{}`},
		{"UpdateItem", `{` + key + `,"AttributeUpdates":{"n":{"Action":"ADD","Value":{"N":"1.50"}}},"ReturnValues":"UPDATED_NEW"}`, `{"Attributes":{"n":{"N":"1.5"}}}`},
		{"UpdateItem", `{` + key + `,"UpdateExpression":"SET n = n + :v","ExpressionAttributeValues":{":v":{"N":"-2"}},"ReturnValues":"UPDATED_OLD"}`, `{"Attributes":{"n":{"N":"1.5"}}}`},
		{"UpdateItem", `{` + key + `,"UpdateExpression":"ADD n :v","ExpressionAttributeValues":{":v":{"N":"1"}},"ReturnValues":"UPDATED_NEW","ReturnConsumedCapacity":"TOTAL"}`, `{"Attributes":{"n":{"N":"0.5"}},"ConsumedCapacity":{"TableName":"app","CapacityUnits":1.0}}`},
		{"DeleteItem", `{` + key + `,"Expected":{"n":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"N":"0"},{"N":"1"}]}},"ReturnValues":"ALL_OLD","ReturnConsumedCapacity":"NONE"}`, `{"Attributes":*}`},
		{"DeleteItem", `{` + key + `}`, `{}`},
		{"PutItem", `{"TableName":"ranged","Item":{"h":{"N":"1.0"},"r":{"B":"AA=="},"v":{"L":[{"M":{"a":{"BOOL":true}}},{"NULL":true},{"NS":["2","1e1"]},{"BS":["AQ=="]},{"SS":["é"]}]}}}`, `{}`},
		{"GetItem", `{"TableName":"ranged","Key":{"h":{"N":"1"},"r":{"B":"AA=="}},"ProjectionExpression":"v"}`, `{"Item":{"v":{"L":[{"M":{"a":{"BOOL":true}}},{"NULL":true},{"NS":["2","10"]},{"BS":["AQ=="]},{"SS":["é"]}]}}}`},
		{"GetItem", `{"TableName":"ranged","Key":{"h":{"N":"1"},"r":{"B":"AA=="}},"AttributesToGet":["h","none"]}`, `{"Item":{"h":{"N":"1"}}}`},
		{"Query", `{"TableName":"ranged","KeyConditions":{"h":{"ComparisonOperator":"EQ","AttributeValueList":[{"N":"1"}]},"r":{"ComparisonOperator":"BEGINS_WITH","AttributeValueList":[{"B":"AA=="}]}},"Select":"COUNT"}`, `{"Count":1,"ScannedCount":1}`},
		{"Query", `{"TableName":"ranged","KeyConditionExpression":"h = :h AND r BETWEEN :a AND :b","ExpressionAttributeValues":{":h":{"N":"1"},":a":{"B":"AQ=="},":b":{"B":"Ag=="}}}`, `{"Items":[],"Count":0,"ScannedCount":0}`},
		{"Scan", `{"TableName":"app","ScanFilter":{"leaseCounter":{"ComparisonOperator":"GT","AttributeValueList":[{"N":"0"}]}},"AttributesToGet":["leaseKey"]}`, `{"Items":[{"leaseKey":{"S":"a"}}],"Count":1,"ScannedCount":1}`},
		{"Scan", `{"TableName":"app","FilterExpression":"attribute_not_exists(leaseCounter)","Limit":1}`, `{"Items":[],"Count":0,"ScannedCount":1,"LastEvaluatedKey":{"leaseKey":{"S":"a"}}}`},
		{"BatchWriteItem", `{"RequestItems":{"app":[{"PutRequest":{"Item":{"leaseKey":{"S":"c"}}}},{"DeleteRequest":{"Key":{"leaseKey":{"S":"none"}}}}]},"ReturnConsumedCapacity":"TOTAL"}`, `{"UnprocessedItems":{},"ConsumedCapacity":[{"TableName":"app","CapacityUnits":2.0}]}`},
		{"BatchGetItem", `{"RequestItems":{"app":{"Keys":[{"leaseKey":{"S":"c"}},{"leaseKey":{"S":"none"}}],"ProjectionExpression":"#k","ExpressionAttributeNames":{"#k":"leaseKey"}}}}`, `{"Responses":{"app":[{"leaseKey":{"S":"c"}}]},"UnprocessedKeys":{}}`},
		{"TransactWriteItems", `{"TransactItems":[{"Update":{"TableName":"app","Key":{"leaseKey":{"S":"c"}},"UpdateExpression":"SET leaseOwner = :w","ExpressionAttributeValues":{":w":{"S":"w1"}}}},{"Delete":{"TableName":"app","Key":{"leaseKey":{"S":"a"}}}}]}`, `{}`},
		{"TransactGetItems", `{"TransactItems":[{"Get":{"TableName":"app","Key":{"leaseKey":{"S":"c"}},"ProjectionExpression":"leaseOwner"}},{"Get":{"TableName":"app","Key":{"leaseKey":{"S":"a"}}}}]}`, `{"Responses":[{"Item":{"leaseOwner":{"S":"w1"}}},{}]}`},
		{"TransactWriteItems", `{"TransactItems":[{"Update":{"TableName":"ranged","Key":{"h":{"N":"7"},"r":{"B":"AA=="}},"UpdateExpression":"ADD n :v","ExpressionAttributeValues":{":v":{"N":"1"}}}}],"ClientRequestToken":"once"}`, `{}`},
		{"TransactWriteItems", `{"TransactItems":[{"Update":{"TableName":"ranged","Key":{"h":{"N":"7"},"r":{"B":"AA=="}},"UpdateExpression":"ADD n :v","ExpressionAttributeValues":{":v":{"N":"1"}}}}],"ClientRequestToken":"once"}`, `{}`},
		{"GetItem", `{"TableName":"ranged","Key":{"h":{"N":"7"},"r":{"B":"AA=="}},"ProjectionExpression":"n"}`, `{"Item":{"n":{"N":"1"}}}`},
		{"Query", `{"TableName":"app","IndexName":"owners","KeyConditionExpression":"leaseOwner = :w","ExpressionAttributeValues":{":w":{"S":"w1"}},"ProjectionExpression":"leaseKey"}`, `{"Items":[{"leaseKey":{"S":"c"}}],"Count":1,"ScannedCount":1}`},
		{"DescribeContinuousBackups", `{"TableName":"app"}`, `{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED","PointInTimeRecoveryDescription":{"PointInTimeRecoveryStatus":"DISABLED"}}}`},
		{"UpdateContinuousBackups", `{"TableName":"app","PointInTimeRecoverySpecification":{"PointInTimeRecoveryEnabled":true}}`, `{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED","PointInTimeRecoveryDescription":{"PointInTimeRecoveryStatus":"ENABLED","RecoveryPeriodInDays":35,"EarliestRestorableDateTime":1772366400,"LatestRestorableDateTime":1772366400}}}`},
		{"DescribeTimeToLive", `{"TableName":"app"}`, `{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}`},
		{"TagResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:123456789012:table/app","Tags":[{"Key":"a","Value":"1"},{"Key":"b","Value":""}]}`, ``},
		{"UntagResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:123456789012:table/app","TagKeys":["a","c"]}`, ``},
		{"ListTagsOfResource", `{"ResourceArn":"arn:aws:dynamodb:us-east-1:123456789012:table/app"}`, `{"Tags":[{"Key":"b","Value":""}]}`},
		{"UpdateTable", `{"TableName":"app","DeletionProtectionEnabled":true,"GlobalSecondaryIndexUpdates":[{"Delete":{"IndexName":"owners"}}]}`, `{"TableDescription":*"TableStatus":"UPDATING"*"DeletionProtectionEnabled":true}}`},
		{"UpdateTable", `{"TableName":"app","DeletionProtectionEnabled":false,"BillingMode":"PROVISIONED","ProvisionedThroughput":{"ReadCapacityUnits":1,"WriteCapacityUnits":2}}`, `{"TableDescription":*"ReadCapacityUnits":1,"WriteCapacityUnits":2}*"DeletionProtectionEnabled":false}}`},
		{"DeleteTable", `{"TableName":"app"}`, `{"TableDescription":*"TableStatus":"DELETING"*}}`},
		{"ListTables", `{}`, `{"TableNames":["ranged"]}`},
	} {
		if got := f.must(tt.operation, tt.body); !matches(got, tt.want) {
			t.Errorf("%s %s\ngot  %s\nwant %s", tt.operation, tt.body, got, tt.want)
		}
	}
}

// matches compares with a text in which * stands for anything.
func matches(got, want string) bool {
	parts := strings.Split(want, "*")
	if len(parts) == 1 {
		return got == want
	}
	if !strings.HasPrefix(got, parts[0]) {
		return false
	}
	got = got[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(got, p)
		if i < 0 {
			return false
		}
		got = got[i+len(p):]
	}
	return strings.HasSuffix(got, parts[len(parts)-1])
}

func TestFull(t *testing.T) {
	f := withLeases(t)
	item := func(i int) string {
		return fmt.Sprintf(`{"TableName":"app","Item":{"leaseKey":{"S":"%d"},"x":{"S":"%s"}}}`, i, strings.Repeat("x", 300<<10))
	}
	for i := range 3 {
		f.must("PutItem", item(i))
	}
	status, got := f.call("PutItem", item(3))
	if want := `{"__type":"com.amazonaws.dynamodb.v20120810#LimitExceededException","message":"The lease store is full: its items take *`; status != 400 || !matches(got, want) {
		t.Errorf("got %d %s", status, got)
	}
	for i := range 2 {
		f.must("CreateTable", strings.Replace(leaseTable, `"app"`, fmt.Sprintf(`"more%d"`, i), 1))
	}
	status, got = f.call("CreateTable", strings.Replace(leaseTable, `"app"`, `"toomany"`, 1))
	if want := `{"__type":"com.amazonaws.dynamodb.v20120810#LimitExceededException","message":"Subscriber limit exceeded: *`; status != 400 || !matches(got, want) {
		t.Errorf("got %d %s", status, got)
	}
}

// TestCounters renews leases from 16 clients at once, each taking the counter
// that it read: every counter is taken once.
func TestCounters(t *testing.T) {
	const clients, rounds = 16, 20
	f := withLeases(t)
	var mu sync.Mutex
	taken := map[int]bool{}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for counter, left := 1, rounds; left > 0; counter++ {
				status, _ := f.call("UpdateItem", fmt.Sprintf(`{"TableName":"app","Key":{"leaseKey":{"S":"a"}},"Expected":{"leaseCounter":{"Value":{"N":"%d"}}},`+
					`"AttributeUpdates":{"leaseCounter":{"Action":"PUT","Value":{"N":"%d"}}}}`, counter, counter+1))
				if status != http.StatusOK {
					if counter > clients*rounds {
						counter = 0 // from the beginning: it only looks for the newest
					}
					continue
				}
				mu.Lock()
				if taken[counter] {
					t.Errorf("counter %d was taken twice", counter)
				}
				taken[counter] = true
				mu.Unlock()
				left--
			}
		})
	}
	wg.Wait()
	want := fmt.Sprintf(`{"Item":{"leaseCounter":{"N":"%d"}}}`, clients*rounds+1)
	if got := f.must("GetItem", `{"TableName":"app","Key":{"leaseKey":{"S":"a"}},"ConsistentRead":true,"ProjectionExpression":"leaseCounter"}`); got != want || len(taken) != clients*rounds {
		t.Errorf("got %s with %d taken, want %s", got, len(taken), want)
	}
}

// FuzzItems puts anything as an item: it is refused with an answer, or comes
// back as what it was.
func FuzzItems(f *testing.F) {
	for _, item := range []string{
		`{"leaseKey":{"S":"a"},"x":{"M":{"y":{"L":[{"N":"1e5"},{"NULL":true},{"B":"AA=="},{"BOOL":false}]}}}}`,
		`{"leaseKey":{"S":"a"},"x":{"SS":["a","b"]},"y":{"NS":["1","2"]},"z":{"BS":["AA==","AQ=="]}}`, `{"leaseKey":{"S":"a"},"x":{"S":"\u0000\ud83d\ude00"}}`,
	} {
		f.Add(item)
	}
	api := withLeases(f)
	f.Fuzz(func(t *testing.T, item string) {
		api := &fixture{t: t, handler: api.handler}
		status, out := api.call("PutItem", `{"TableName":"app","Item":`+item+`,"ReturnValues":"ALL_OLD"}`)
		switch {
		case status >= 500:
			t.Fatalf("%d %s", status, out)
		case status != http.StatusOK:
			return
		}
		status, got := api.call("Scan", `{"TableName":"app"}`)
		if status != http.StatusOK {
			t.Fatalf("scan: %d %s", status, got)
		}
		// What was stored can be put again as it was answered.
		_, rest, ok := strings.Cut(got, `"Items":[`)
		first, _, _ := strings.Cut(rest, `],"Count"`)
		if !ok || strings.Contains(first, `},{"`) {
			return // several items
		}
		if status, out := api.call("PutItem", `{"TableName":"app","Item":`+first+`}`); status != http.StatusOK {
			t.Fatalf("put again %s: %d %s", first, status, out)
		}
	})
}
