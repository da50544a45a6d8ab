package e2e

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/firehosed/firehosed/e2e/harness"
)

func text(s string) types.AttributeValue    { return &types.AttributeValueMemberS{Value: s} }
func numeral(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

func textOf(v types.AttributeValue) string {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return fmt.Sprintf("%#v", v)
}

// leaseTable makes a table as the Kinesis Client Library does, in its steps.
func leaseTable(t *testing.T, c *dynamodb.Client, name string) {
	t.Helper()
	ctx := t.Context()
	var missing *types.ResourceNotFoundException
	if _, err := c.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name}); !errors.As(err, &missing) {
		t.Fatalf("describe a table that is not there: %v", err)
	}
	in := &dynamodb.CreateTableInput{
		TableName:                 &name,
		AttributeDefinitions:      []types.AttributeDefinition{{AttributeName: aws.String("leaseKey"), AttributeType: "S"}},
		KeySchema:                 []types.KeySchemaElement{{AttributeName: aws.String("leaseKey"), KeyType: "HASH"}},
		BillingMode:               types.BillingModePayPerRequest,
		DeletionProtectionEnabled: aws.Bool(false),
		Tags:                      []types.Tag{{Key: aws.String("team"), Value: aws.String("data")}},
	}
	if _, err := c.CreateTable(ctx, in); err != nil {
		t.Fatal(err)
	}
	var exists *types.ResourceInUseException
	if _, err := c.CreateTable(ctx, in); !errors.As(err, &exists) {
		t.Fatalf("create a table twice: %v", err)
	}
	if err := dynamodb.NewTableExistsWaiter(c, quick).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, harness.Patience); err != nil {
		t.Fatal(err)
	}
	_, err := c.UpdateTable(ctx, &dynamodb.UpdateTableInput{
		TableName: &name,
		AttributeDefinitions: []types.AttributeDefinition{
			{AttributeName: aws.String("leaseOwner"), AttributeType: "S"}, {AttributeName: aws.String("leaseKey"), AttributeType: "S"},
		},
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{{Create: &types.CreateGlobalSecondaryIndexAction{
			IndexName: aws.String("LeaseOwnerToLeaseKeyIndex"),
			KeySchema: []types.KeySchemaElement{
				{AttributeName: aws.String("leaseOwner"), KeyType: "HASH"}, {AttributeName: aws.String("leaseKey"), KeyType: "RANGE"},
			},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		t.Fatal(err)
	}
	if d := out.Table; d.TableStatus != "ACTIVE" || len(d.GlobalSecondaryIndexes) != 1 || d.GlobalSecondaryIndexes[0].IndexStatus != "ACTIVE" || aws.ToString(d.TableArn) == "" {
		t.Fatalf("table %+v", d)
	}
}

func quick(o *dynamodb.TableExistsWaiterOptions) {
	o.MinDelay, o.MaxDelay = time.Millisecond, time.Second
}

// TestLeases calls every operation of the lease store with the SDK, the way
// the Kinesis Client Library does, and looks again after a kill.
func TestLeases(t *testing.T) {
	d := harness.Run(t, harness.Settings{})
	c := d.DynamoDB()
	ctx := t.Context()
	table := aws.String("app")
	leaseTable(t, c, "app")

	lease := func(key, owner, counter string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{
			"leaseKey": text(key), "leaseOwner": text(owner), "leaseCounter": numeral(counter), "checkpoint": text("TRIM_HORIZON"),
			"parentShardId": &types.AttributeValueMemberSS{Value: []string{"shardId-000000000000"}},
		}
	}
	key := func(k string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"leaseKey": text(k)}
	}
	absent := map[string]types.ExpectedAttributeValue{"leaseKey": {Exists: aws.Bool(false)}}
	var refused *types.ConditionalCheckFailedException

	// A lease is made once.
	for i := range 12 {
		in := &dynamodb.PutItemInput{TableName: table, Item: lease(fmt.Sprintf("shardId-%012d", i), fmt.Sprint("worker-", i%3), "0"), Expected: absent}
		if _, err := c.PutItem(ctx, in); err != nil {
			t.Fatal(err)
		}
		if _, err := c.PutItem(ctx, in); !errors.As(err, &refused) {
			t.Fatalf("make a lease twice: %v", err)
		}
	}

	// It is taken by whoever knows its counter, in either form.
	take := func(counter, to, owner string) error {
		out, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: table, Key: key("shardId-000000000000"),
			Expected: map[string]types.ExpectedAttributeValue{"leaseCounter": {Value: numeral(counter)}},
			AttributeUpdates: map[string]types.AttributeValueUpdate{
				"leaseCounter":                 {Action: "PUT", Value: numeral(to)},
				"leaseOwner":                   {Action: "PUT", Value: text(owner)},
				"ownerSwitchesSinceCheckpoint": {Action: "ADD", Value: numeral("1")},
				"checkpoint":                   {Action: "DELETE"},
			},
			ReturnValues: "ALL_NEW", ReturnValuesOnConditionCheckFailure: "ALL_OLD",
		})
		if err == nil && (textOf(out.Attributes["leaseOwner"]) != owner || textOf(out.Attributes["leaseCounter"]) != to || out.Attributes["checkpoint"] != nil) {
			t.Errorf("taken lease is %v", out.Attributes)
		}
		return err
	}
	if err := take("0", "1", "worker-9"); err != nil {
		t.Fatal(err)
	}
	if err := take("0", "1", "worker-8"); !errors.As(err, &refused) || textOf(refused.Item["leaseOwner"]) != "worker-9" {
		t.Fatalf("take a lease that has another counter: %v, %+v", err, refused)
	}
	renewed, err := c.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: table, Key: key("shardId-000000000000"),
		UpdateExpression:          aws.String("SET leaseCounter = leaseCounter + :one, #c = if_not_exists(#c, :start) REMOVE parentShardId"),
		ConditionExpression:       aws.String("leaseOwner = :me AND attribute_exists(leaseKey)"),
		ExpressionAttributeNames:  map[string]string{"#c": "checkpoint"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":one": numeral("1"), ":me": text("worker-9"), ":start": text("LATEST")},
		ReturnValues:              "UPDATED_NEW",
	})
	if err != nil || textOf(renewed.Attributes["leaseCounter"]) != "2" || len(renewed.Attributes) != 2 {
		t.Fatalf("renew: %v, %v", renewed, err)
	}

	// Scans see all leases, in pages, in segments, filtered.
	var keys []string
	for segment := range int32(2) {
		pages := dynamodb.NewScanPaginator(c, &dynamodb.ScanInput{
			TableName: table, Limit: aws.Int32(4), ConsistentRead: aws.Bool(true), Segment: aws.Int32(segment), TotalSegments: aws.Int32(2),
		})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range page.Items {
				keys = append(keys, textOf(item["leaseKey"]))
			}
		}
	}
	slices.Sort(keys)
	if len(keys) != 12 || len(slices.Compact(slices.Clone(keys))) != 12 {
		t.Fatalf("scanned %q", keys)
	}
	counted, err := c.Scan(ctx, &dynamodb.ScanInput{
		TableName: table, Select: "COUNT", FilterExpression: aws.String("leaseOwner = :x"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":x": text("worker-1")},
	})
	if err != nil || counted.Count != 4 || counted.ScannedCount != 12 || counted.Items != nil {
		t.Fatalf("count: %+v, %v", counted, err)
	}

	// The leases of a worker come from the index.
	var owned []string
	pages := dynamodb.NewQueryPaginator(c, &dynamodb.QueryInput{
		TableName: table, IndexName: aws.String("LeaseOwnerToLeaseKeyIndex"), Limit: aws.Int32(3), ScanIndexForward: aws.Bool(false),
		KeyConditionExpression:    aws.String("leaseOwner = :o"),
		ExpressionAttributeValues: map[string]types.AttributeValue{":o": text("worker-2")},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			if len(item) != 2 {
				t.Errorf("the index shows %v", item)
			}
			owned = append(owned, textOf(item["leaseKey"]))
		}
	}
	if want := []string{"shardId-000000000011", "shardId-000000000008", "shardId-000000000005", "shardId-000000000002"}; !slices.Equal(owned, want) {
		t.Fatalf("worker-2 owns %q", owned)
	}

	// A lease is given up by its owner only.
	if _, err := c.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: table, Key: key("shardId-000000000011"),
		Expected: map[string]types.ExpectedAttributeValue{"leaseOwner": {Value: text("worker-0")}},
	}); !errors.As(err, &refused) {
		t.Fatalf("delete another's lease: %v", err)
	}
	gone, err := c.DeleteItem(ctx, &dynamodb.DeleteItemInput{
		TableName: table, Key: key("shardId-000000000011"), ReturnValues: "ALL_OLD",
		ConditionExpression:       aws.String("#o = :o AND attribute_exists(leaseKey)"),
		ExpressionAttributeNames:  map[string]string{"#o": "leaseOwner"},
		ExpressionAttributeValues: map[string]types.AttributeValue{":o": text("worker-2")},
	})
	if err != nil || textOf(gone.Attributes["leaseOwner"]) != "worker-2" {
		t.Fatalf("delete: %v, %v", gone, err)
	}

	// What was acknowledged survives a kill.
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetItem(ctx, &dynamodb.GetItemInput{
		TableName: table, Key: key("shardId-000000000000"), ConsistentRead: aws.Bool(true),
		ProjectionExpression: aws.String("leaseOwner, leaseCounter, checkpoint"), ReturnConsumedCapacity: "TOTAL",
	})
	if err != nil || len(got.Item) != 3 || textOf(got.Item["leaseCounter"]) != "2" || textOf(got.Item["checkpoint"]) != "LATEST" || aws.ToFloat64(got.ConsumedCapacity.CapacityUnits) != 1 {
		t.Fatalf("after a kill: %+v, %v", got, err)
	}
	described, err := c.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: table})
	if err != nil || aws.ToInt64(described.Table.ItemCount) != 11 || len(described.Table.GlobalSecondaryIndexes) != 1 {
		t.Fatalf("after a kill: %+v, %v", described, err)
	}
}

// TestLeaseTables calls what the Kinesis Client Library needs more rarely: batches,
// transactions, settings and the end of tables.
func TestLeaseTables(t *testing.T) {
	d := harness.Run(t, harness.Settings{})
	c := d.DynamoDB()
	ctx := t.Context()
	table := aws.String("app")
	leaseTable(t, c, "app")
	leaseTable(t, c, "app-CoordinatorState")
	key := func(k string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"leaseKey": text(k)}
	}

	writes := make([]types.WriteRequest, 25)
	for i := range writes {
		writes[i].PutRequest = &types.PutRequest{Item: map[string]types.AttributeValue{"leaseKey": text(fmt.Sprint(i)), "leaseCounter": numeral("1")}}
	}
	written, err := c.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{"app": writes}})
	if err != nil || len(written.UnprocessedItems) != 0 {
		t.Fatalf("batch write: %+v, %v", written, err)
	}
	got, err := c.BatchGetItem(ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{
		"app": {Keys: []map[string]types.AttributeValue{key("3"), key("none"), key("24")}}, "app-CoordinatorState": {Keys: []map[string]types.AttributeValue{key("3")}},
	}})
	if err != nil || len(got.Responses["app"]) != 2 || len(got.Responses["app-CoordinatorState"]) != 0 || len(got.UnprocessedKeys) != 0 {
		t.Fatalf("batch get: %+v, %v", got, err)
	}

	// A transaction over two tables, which one condition cancels.
	move := func(counter string) error {
		_, err := c.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: aws.String("app-CoordinatorState"), Item: key("moved"), ConditionExpression: aws.String("attribute_not_exists(leaseKey)")}},
			{Update: &types.Update{
				TableName: table, Key: key("3"), UpdateExpression: aws.String("SET leaseOwner = :o"), ConditionExpression: aws.String("leaseCounter = :c"),
				ExpressionAttributeValues:           map[string]types.AttributeValue{":o": text("w"), ":c": numeral(counter)},
				ReturnValuesOnConditionCheckFailure: "ALL_OLD",
			}},
			{Delete: &types.Delete{TableName: table, Key: key("4")}},
			{ConditionCheck: &types.ConditionCheck{TableName: table, Key: key("5"), ConditionExpression: aws.String("attribute_exists(leaseKey)")}},
		}})
		return err
	}
	var canceled *types.TransactionCanceledException
	if err := move("2"); !errors.As(err, &canceled) || len(canceled.CancellationReasons) != 4 ||
		aws.ToString(canceled.CancellationReasons[0].Code) != "None" || aws.ToString(canceled.CancellationReasons[1].Code) != "ConditionalCheckFailed" || textOf(canceled.CancellationReasons[1].Item["leaseCounter"]) != "1" {
		t.Fatalf("transaction: %v, %+v", err, canceled)
	}
	if err := move("1"); err != nil {
		t.Fatal(err)
	}
	both, err := c.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: []types.TransactGetItem{
		{Get: &types.Get{TableName: aws.String("app-CoordinatorState"), Key: key("moved")}}, {Get: &types.Get{TableName: table, Key: key("4")}}, {Get: &types.Get{TableName: table, Key: key("3")}},
	}})
	if err != nil || len(both.Responses) != 3 || both.Responses[0].Item == nil || both.Responses[1].Item != nil || textOf(both.Responses[2].Item["leaseOwner"]) != "w" {
		t.Fatalf("after the transaction: %+v, %v", both, err)
	}

	// Settings.
	described, err := c.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: table})
	if err != nil {
		t.Fatal(err)
	}
	arn := described.Table.TableArn
	if _, err := c.TagResource(ctx, &dynamodb.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("1")}}}); err != nil {
		t.Error(err)
	}
	if _, err := c.UntagResource(ctx, &dynamodb.UntagResourceInput{ResourceArn: arn, TagKeys: []string{"team"}}); err != nil {
		t.Error(err)
	}
	if tags, err := c.ListTagsOfResource(ctx, &dynamodb.ListTagsOfResourceInput{ResourceArn: arn}); err != nil || len(tags.Tags) != 1 || aws.ToString(tags.Tags[0].Value) != "1" {
		t.Errorf("tags %+v, %v", tags, err)
	}
	backups, err := c.UpdateContinuousBackups(ctx, &dynamodb.UpdateContinuousBackupsInput{
		TableName: table, PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)},
	})
	if err != nil || backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus != "ENABLED" {
		t.Errorf("backups %+v, %v", backups, err)
	}
	if _, err := c.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: table}); err != nil {
		t.Error(err)
	}
	if ttl, err := c.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: table}); err != nil || ttl.TimeToLiveDescription.TimeToLiveStatus != "DISABLED" {
		t.Errorf("time to live %+v, %v", ttl, err)
	}
	if _, err := c.UpdateTable(ctx, &dynamodb.UpdateTableInput{
		TableName: table, DeletionProtectionEnabled: aws.Bool(true), BillingMode: types.BillingModeProvisioned,
		ProvisionedThroughput: &types.ProvisionedThroughput{ReadCapacityUnits: aws.Int64(10), WriteCapacityUnits: aws.Int64(10)},
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{
			{Delete: &types.DeleteGlobalSecondaryIndexAction{IndexName: aws.String("LeaseOwnerToLeaseKeyIndex")}},
		},
	}); err != nil {
		t.Fatal(err)
	}

	// The end: protected tables stay, and what goes is gone after a kill.
	if _, err := c.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: table}); err == nil {
		t.Error("a protected table was deleted")
	}
	if _, err := c.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: table, DeletionProtectionEnabled: aws.Bool(false)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: table}); err != nil {
		t.Fatal(err)
	}
	if err := dynamodb.NewTableNotExistsWaiter(c).Wait(ctx, &dynamodb.DescribeTableInput{TableName: table}, harness.Patience); err != nil {
		t.Fatal(err)
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(ctx); err != nil {
		t.Fatal(err)
	}
	var names []string
	pages := dynamodb.NewListTablesPaginator(c, &dynamodb.ListTablesInput{Limit: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, page.TableNames...)
	}
	if !slices.Equal(names, []string{"app-CoordinatorState"}) {
		t.Errorf("tables %q", names)
	}

	// Turned off there is no such service, and turned on again all is there.
	left := &dynamodb.DescribeTableInput{TableName: aws.String("app-CoordinatorState")}
	for _, on := range []bool{false, true} {
		d.MustStop(t)
		d.Configure(t, harness.Settings{Body: fmt.Sprintf("api: { lease_store: { enabled: %t, max_bytes: 2MiB } }\n", on)})
		if err := d.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if out, err := c.DescribeTable(ctx, left); (err == nil) != on || on && aws.ToInt64(out.Table.ItemCount) != 1 {
			t.Errorf("turned on: %t: %+v, %v", on, out, err)
		}
	}
	if m := d.Metrics(t); m["firehosed_lease_store_tables"] != 1 || m["firehosed_lease_store_bytes"] == 0 || m["firehosed_lease_store_limit_bytes"] != 2<<20 {
		t.Errorf("the metrics tell %v tables, %v of %v bytes", m["firehosed_lease_store_tables"], m["firehosed_lease_store_bytes"], m["firehosed_lease_store_limit_bytes"])
	}
	d.MustStop(t)
}
