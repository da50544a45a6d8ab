package dynamodb

import "github.com/firehosed/firehosed/api/wire"

// Limits of requests.
const (
	maxPageTables  = 100
	maxSegments    = 1_000_000
	maxBatchGet    = 100
	maxBatchWrite  = 25
	maxTransaction = 100
)

// Shapes of values that several operations take. Attribute values are read by
// the operations themselves, for the texts of the real service.
func tableName() *wire.Shape     { return wire.String().Between(1, 1024) }
func attributeName() *wire.Shape { return wire.String().Between(1, 255) }
func indexName() *wire.Shape     { return wire.String().Between(3, 255) }
func anyText() *wire.Shape       { return wire.String() }

func attributes() *wire.Shape     { return wire.Map(anyText(), wire.Any()) }
func expressionText() *wire.Shape { return wire.String() }

func throughput() *wire.Shape {
	return wire.Structure(
		wire.Required("ReadCapacityUnits", wire.Long().AtLeast(1)),
		wire.Required("WriteCapacityUnits", wire.Long().AtLeast(1)),
	)
}

func keySchema() *wire.Shape {
	return wire.List(wire.Structure(
		wire.Required("AttributeName", attributeName()),
		wire.Required("KeyType", wire.Enum("HASH", "RANGE")),
	)).Between(1, 2)
}

func definitions() *wire.Shape {
	return wire.List(wire.Structure(
		wire.Required("AttributeName", attributeName()),
		wire.Required("AttributeType", wire.Enum("S", "N", "B")),
	))
}

func index(own ...wire.Member) *wire.Shape {
	return wire.Structure(append([]wire.Member{
		wire.Required("IndexName", indexName()),
		wire.Required("KeySchema", keySchema()),
		wire.Required("Projection", wire.Structure(
			wire.Optional("ProjectionType", wire.Enum("ALL", "KEYS_ONLY", "INCLUDE")),
			wire.Optional("NonKeyAttributes", wire.List(attributeName()).Between(1, 20)),
		)),
		wire.Optional("ProvisionedThroughput", throughput()),
		wire.Optional("OnDemandThroughput", wire.Any()),
		wire.Optional("WarmThroughput", wire.Any()),
	}, own...)...)
}

func tagList() *wire.Shape {
	return wire.List(wire.Structure(
		wire.Required("Key", wire.String().Between(1, 128)),
		wire.Required("Value", wire.String().Between(0, 256)),
	))
}

func comparisonOperator() *wire.Shape { return wire.Enum(comparisonOperators...) }

func conditionMap() *wire.Shape {
	return wire.Map(anyText(), wire.Structure(
		wire.Required("ComparisonOperator", comparisonOperator()),
		wire.Optional("AttributeValueList", wire.List(wire.Any())),
	))
}

// placeholders are the members of all operations with expressions.
func placeholders(own ...wire.Member) []wire.Member {
	return append(own,
		wire.Optional("ExpressionAttributeNames", wire.Map(anyText(), anyText())),
		wire.Optional("ExpressionAttributeValues", attributes()),
	)
}

func capacity(own ...wire.Member) []wire.Member {
	return append(own, wire.Optional("ReturnConsumedCapacity", wire.Enum("INDEXES", "TOTAL", "NONE")))
}

// written are the members of all writes of one item.
func written(own ...wire.Member) []wire.Member {
	return placeholders(append(own,
		wire.Required("TableName", tableName()),
		wire.Optional("ConditionExpression", expressionText()),
		wire.Optional("ReturnValuesOnConditionCheckFailure", wire.Enum("ALL_OLD", "NONE")),
	)...)
}

// write is the input of an operation that writes one item.
func write(own ...wire.Member) *wire.Shape {
	return wire.Structure(capacity(written(append(own,
		wire.Optional("Expected", wire.Map(anyText(), wire.Structure(
			wire.Optional("Value", wire.Any()),
			wire.Optional("Exists", wire.Boolean()),
			wire.Optional("ComparisonOperator", comparisonOperator()),
			wire.Optional("AttributeValueList", wire.List(wire.Any())),
		))),
		wire.Optional("ConditionalOperator", wire.Enum("AND", "OR")),
		wire.Optional("ReturnValues", wire.Enum("ALL_NEW", "UPDATED_OLD", "ALL_OLD", "NONE", "UPDATED_NEW")),
		wire.Optional("ReturnItemCollectionMetrics", wire.Enum("SIZE", "NONE")),
	)...)...)...)
}

// read is the input of Scan and Query.
func read(own ...wire.Member) *wire.Shape {
	return wire.Structure(capacity(placeholders(append(own,
		wire.Required("TableName", tableName()),
		wire.Optional("IndexName", indexName()),
		wire.Optional("AttributesToGet", wire.List(anyText()).AtLeast(1)),
		wire.Optional("Limit", wire.Integer().AtLeast(1)),
		wire.Optional("Select", wire.Enum("SPECIFIC_ATTRIBUTES", "COUNT", "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES")),
		wire.Optional("ConditionalOperator", wire.Enum("AND", "OR")),
		wire.Optional("ExclusiveStartKey", wire.Any()),
		wire.Optional("ProjectionExpression", expressionText()),
		wire.Optional("FilterExpression", expressionText()),
		wire.Optional("ConsistentRead", wire.Boolean()),
	)...)...)...)
}

func onTable(own ...wire.Member) *wire.Shape {
	return wire.Structure(append(own, wire.Required("TableName", tableName()))...)
}

func onResource(own ...wire.Member) *wire.Shape {
	return wire.Structure(append(own, wire.Required("ResourceArn", wire.String().Between(1, 1283)))...)
}

// Wire returns the table of operations.
func (s *Service) Wire() wire.Service {
	return wire.Service{
		Target:      "DynamoDB_20120810",
		SigningName: "dynamodb",
		JSON10:      true,
		ErrorType:   errorType,
		Checksum:    true,
		Operations:  append(s.tableOperations(), s.itemOperations()...),
	}
}

func (s *Service) tableOperations() []wire.Operation {
	throughputMember := wire.Optional("ProvisionedThroughput", throughput())
	mode := wire.Optional("BillingMode", wire.Enum("PROVISIONED", "PAY_PER_REQUEST"))
	class := wire.Optional("TableClass", wire.Enum("STANDARD", "STANDARD_INFREQUENT_ACCESS"))
	protected := wire.Optional("DeletionProtectionEnabled", wire.Boolean())
	stream := wire.Optional("StreamSpecification", wire.Structure(wire.Optional("StreamEnabled", wire.Boolean())))
	unknown := func(names ...string) (members []wire.Member) {
		for _, name := range names {
			members = append(members, wire.Optional(name, wire.Any()))
		}
		return members
	}
	return []wire.Operation{
		{Name: "CreateTable", Handle: s.createTable, Input: onTable(append(unknown(
			"LocalSecondaryIndexes", "ResourcePolicy", "OnDemandThroughput", "WarmThroughput", "GlobalTableSourceArn", "GlobalTableSettingsReplicationMode"),
			wire.Required("AttributeDefinitions", definitions()),
			wire.Required("KeySchema", keySchema()),
			wire.Optional("GlobalSecondaryIndexes", wire.List(index())),
			wire.Optional("Tags", tagList()),
			throughputMember, mode, class, protected, stream,
		)...)},
		{Name: "UpdateTable", Handle: s.updateTable, Input: onTable(append(unknown(
			"ReplicaUpdates", "OnDemandThroughput", "WarmThroughput", "MultiRegionConsistency", "GlobalTableWitnessUpdates", "GlobalTableSettingsReplicationMode"),
			wire.Optional("AttributeDefinitions", definitions()),
			wire.Optional("GlobalSecondaryIndexUpdates", wire.List(wire.Structure(
				wire.Optional("Create", index()),
				wire.Optional("Delete", wire.Structure(wire.Required("IndexName", indexName()))),
				wire.Optional("Update", wire.Structure(append(unknown("OnDemandThroughput", "WarmThroughput"),
					wire.Required("IndexName", indexName()), wire.Required("ProvisionedThroughput", throughput()))...)),
			))),
			throughputMember, mode, class, protected, stream,
		)...)},
		{Name: "DescribeTable", Handle: s.describeTable, Input: onTable()},
		{Name: "DeleteTable", Handle: s.deleteTable, Input: onTable()},
		{Name: "ListTables", Handle: s.listTables, Input: wire.Structure(
			wire.Optional("ExclusiveStartTableName", wire.String().Between(3, 255)),
			wire.Optional("Limit", wire.Integer().Between(1, maxPageTables)),
		)},
		{Name: "DescribeTimeToLive", Handle: s.describeTimeToLive, Input: onTable()},
		{Name: "UpdateTimeToLive", Handle: s.updateTimeToLive, Input: onTable(
			wire.Required("TimeToLiveSpecification", wire.Structure(
				wire.Required("Enabled", wire.Boolean()),
				wire.Required("AttributeName", attributeName()),
			)),
		)},
		{Name: "DescribeContinuousBackups", Handle: s.describeContinuousBackups, Input: onTable()},
		{Name: "UpdateContinuousBackups", Handle: s.updateContinuousBackups, Input: onTable(
			wire.Required("PointInTimeRecoverySpecification", wire.Structure(
				wire.Required("PointInTimeRecoveryEnabled", wire.Boolean()),
				wire.Optional("RecoveryPeriodInDays", wire.Integer().Between(1, 35)),
			)),
		)},
		{Name: "TagResource", Handle: s.tagResource, Input: onResource(wire.Required("Tags", tagList()))},
		{Name: "UntagResource", Handle: s.untagResource, Input: onResource(wire.Required("TagKeys", wire.List(wire.String().Between(1, 128))))},
		{Name: "ListTagsOfResource", Handle: s.listTagsOfResource, Input: onResource(wire.Optional("NextToken", anyText()))},
	}
}

func (s *Service) itemOperations() []wire.Operation {
	return []wire.Operation{
		{Name: "PutItem", Handle: s.putItem, Input: write(wire.Required("Item", attributes()))},
		{Name: "UpdateItem", Handle: s.updateItem, Input: write(
			wire.Required("Key", attributes()),
			wire.Optional("UpdateExpression", expressionText()),
			wire.Optional("AttributeUpdates", wire.Map(anyText(), wire.Structure(
				wire.Optional("Value", wire.Any()),
				wire.Optional("Action", wire.Enum("ADD", "PUT", "DELETE")),
			))),
		)},
		{Name: "DeleteItem", Handle: s.deleteItem, Input: write(wire.Required("Key", attributes()))},
		{Name: "GetItem", Handle: s.getItem, Input: wire.Structure(capacity(placeholders(
			wire.Required("TableName", tableName()),
			wire.Required("Key", attributes()),
			wire.Optional("AttributesToGet", wire.List(anyText()).AtLeast(1)),
			wire.Optional("ProjectionExpression", expressionText()),
			wire.Optional("ConsistentRead", wire.Boolean()),
		)...)...)},
		{Name: "Scan", Handle: s.scan, Input: read(
			wire.Optional("ScanFilter", conditionMap()),
			wire.Optional("TotalSegments", wire.Integer().Between(1, maxSegments)),
			wire.Optional("Segment", wire.Integer().Between(0, maxSegments-1)),
		)},
		{Name: "Query", Handle: s.query, Input: read(
			wire.Optional("KeyConditionExpression", expressionText()),
			wire.Optional("KeyConditions", conditionMap()),
			wire.Optional("QueryFilter", conditionMap()),
			wire.Optional("ScanIndexForward", wire.Boolean()),
		)},
		{Name: "BatchGetItem", Handle: s.batchGetItem, Input: wire.Structure(capacity(
			wire.Required("RequestItems", wire.Map(anyText(), wire.Structure(
				wire.Required("Keys", wire.List(attributes()).Between(1, maxBatchGet)),
				wire.Optional("AttributesToGet", wire.List(anyText()).AtLeast(1)),
				wire.Optional("ConsistentRead", wire.Boolean()),
				wire.Optional("ProjectionExpression", expressionText()),
				wire.Optional("ExpressionAttributeNames", wire.Map(anyText(), anyText())),
			)).Between(1, maxBatchGet)),
		)...)},
		{Name: "BatchWriteItem", Handle: s.batchWriteItem, Input: wire.Structure(capacity(
			wire.Required("RequestItems", wire.Map(anyText(), wire.List(wire.Structure(
				wire.Optional("PutRequest", wire.Structure(wire.Required("Item", attributes()))),
				wire.Optional("DeleteRequest", wire.Structure(wire.Required("Key", attributes()))),
			)).Between(1, maxBatchWrite)).Between(1, maxBatchWrite)),
			wire.Optional("ReturnItemCollectionMetrics", wire.Enum("SIZE", "NONE")),
		)...)},
		{Name: "TransactWriteItems", Handle: s.transactWriteItems, Input: wire.Structure(capacity(
			wire.Required("TransactItems", wire.List(wire.Structure(
				wire.Optional("ConditionCheck", wire.Structure(written(wire.Required("Key", attributes()))...)),
				wire.Optional("Put", wire.Structure(written(wire.Required("Item", attributes()))...)),
				wire.Optional("Delete", wire.Structure(written(wire.Required("Key", attributes()))...)),
				wire.Optional("Update", wire.Structure(written(
					wire.Required("Key", attributes()),
					wire.Required("UpdateExpression", expressionText()),
				)...)),
			)).Between(1, maxTransaction)),
			wire.Optional("ReturnItemCollectionMetrics", wire.Enum("SIZE", "NONE")),
			wire.Optional("ClientRequestToken", wire.String().Between(1, 36)),
		)...)},
		{Name: "TransactGetItems", Handle: s.transactGetItems, Input: wire.Structure(capacity(
			wire.Required("TransactItems", wire.List(wire.Structure(
				wire.Required("Get", wire.Structure(
					wire.Required("TableName", tableName()),
					wire.Required("Key", attributes()),
					wire.Optional("ProjectionExpression", expressionText()),
					wire.Optional("ExpressionAttributeNames", wire.Map(anyText(), anyText())),
				)),
			)).Between(1, maxTransaction)),
		)...)},
	}
}
