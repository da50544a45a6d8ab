package dynamodb

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

const tableResource = ":table/"

// tableARN returns the ARN of a table.
func (s *Service) tableARN(name string) string {
	return "arn:aws:dynamodb:" + s.region + ":" + s.account + tableResource + name
}

// tableName takes the name of a table, or its ARN by the name in it, whatever
// region and account that carries.
func (s *Service) tableName(given string) (string, error) {
	name := given
	if strings.HasPrefix(given, "arn:") {
		_, name, _ = strings.Cut(given, tableResource)
	}
	return name, checkName(name)
}

func checkName(name string) error {
	ok := len(name) >= 3 && len(name) <= 255
	for i := range len(name) {
		c := name[i]
		ok = ok && (c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c == '.' || c == '-')
	}
	if !ok {
		return invalid("Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'")
	}
	return nil
}

// describe returns the table that a request of the control plane names.
func (s *Service) describe(in wire.Value) (leases.Info, error) {
	name, err := s.tableName(in.Get("TableName").Text())
	if err != nil {
		return leases.Info{}, err
	}
	info, err := s.store.Describe(name)
	if errors.Is(err, leases.ErrNotFound) {
		return info, tableNotFound(name)
	}
	return info, err
}

func (s *Service) createTable(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	if err := refuse(in, "LocalSecondaryIndexes", "ResourcePolicy", "OnDemandThroughput", "WarmThroughput", "GlobalTableSourceArn", "GlobalTableSettingsReplicationMode"); err != nil {
		return err
	}
	if in.Get("StreamSpecification").Get("StreamEnabled").Bool(false) {
		return absent("StreamSpecification")
	}
	name, err := s.tableName(in.Get("TableName").Text())
	if err != nil {
		return err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return wire.Internal(err)
	}
	def := &leases.Definition{
		Name: name, UUID: id.String(), Created: s.clock().Truncate(time.Millisecond).UTC(),
		Class: in.Get("TableClass").Text(), Protected: in.Get("DeletionProtectionEnabled").Bool(false),
	}
	if def.Tags, err = tagsOf(in.Get("Tags"), nil); err != nil {
		return err
	}
	if def.Attributes, err = attributeDefinitions(in.Get("AttributeDefinitions"), nil); err != nil {
		return err
	}
	if def.Schema, err = schemaOf(in.Get("KeySchema"), def.Attributes); err != nil {
		return err
	}
	if err := billing(in, def, true); err != nil {
		return err
	}
	for index := range in.Get("GlobalSecondaryIndexes").Items() {
		if err := addIndex(index, def); err != nil {
			return err
		}
	}
	if err := unusedAttributes(def); err != nil {
		return err
	}
	switch err := s.store.Create(ctx, def); {
	case errors.Is(err, leases.ErrExists):
		return wire.Errorf(codeInUse, "Table already exists: %s", name)
	case errors.Is(err, leases.ErrTables):
		return wire.Errorf(codeLimit, "Subscriber limit exceeded: the lease store has as many tables as it may have.")
	case err != nil:
		return s.translate(err)
	}
	return s.answer(out, "TableDescription", leases.Info{Definition: *def}, "CREATING")
}

// refuse names the first member of a request that is not there.
func refuse(in wire.Value, members ...string) error {
	for _, m := range members {
		if v := in.Get(m); v.Present() && (v.Kind() != wire.Items || v.Len() > 0) {
			return absent(m)
		}
	}
	return nil
}

func attributeDefinitions(in wire.Value, known map[string]string) (map[string]string, error) {
	attributes := map[string]string{}
	for name, kind := range known {
		attributes[name] = kind
	}
	seen := map[string]bool{}
	for a := range in.Items() {
		name, kind := a.Get("AttributeName").Text(), a.Get("AttributeType").Text()
		if seen[name] || attributes[name] != "" && attributes[name] != kind {
			return nil, invalidParameter("Duplicate AttributeName in AttributeDefinitions: %s", name)
		}
		seen[name] = true
		attributes[name] = kind
	}
	return attributes, nil
}

// schemaOf reads a key schema and checks it against the definitions.
func schemaOf(in wire.Value, attributes map[string]string) (leases.Schema, error) {
	var s leases.Schema
	i := 0
	for e := range in.Items() {
		name, kind := e.Get("AttributeName").Text(), e.Get("KeyType").Text()
		i++
		switch {
		case i == 1 && kind != "HASH":
			return s, invalid("Invalid KeySchema: The first KeySchemaElement is not a HASH key type")
		case i == 2 && kind != "RANGE":
			return s, invalid("Invalid KeySchema: The second KeySchemaElement is not a RANGE key type")
		case attributes[name] == "":
			return s, invalidParameter("Some index key attributes are not defined in AttributeDefinitions. Keys: [%s], AttributeDefinitions: [%s]", name, strings.Join(names(attributes), ", "))
		case i == 1:
			s.Hash = name
		case name == s.Hash:
			return s, invalid("Both the Hash Key and the Range Key element in the KeySchema have the same name")
		default:
			s.Range = name
		}
	}
	return s, nil
}

func names(attributes map[string]string) []string {
	var list []string
	for name := range attributes {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

// unusedAttributes refuses definitions of attributes that are in no key.
func unusedAttributes(def *leases.Definition) error {
	used := map[string]bool{def.Hash: true, def.Range: true}
	for _, index := range def.Indexes {
		used[index.Hash], used[index.Range] = true, true
	}
	for _, name := range names(def.Attributes) {
		if !used[name] {
			return invalidParameter("Some AttributeDefinitions are not used. AttributeDefinitions: [%s]", strings.Join(names(def.Attributes), ", "))
		}
	}
	return nil
}

// billing reads the billing mode and the capacities of a table. Without
// either a new table is refused and an old one stays as it is.
func billing(in wire.Value, def *leases.Definition, create bool) error {
	mode, throughput := in.Get("BillingMode"), in.Get("ProvisionedThroughput")
	onDemand := def.OnDemand
	if mode.Present() {
		onDemand = mode.Text() == "PAY_PER_REQUEST"
	}
	switch {
	case onDemand && throughput.Present():
		return invalidParameter("Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is PAY_PER_REQUEST")
	case !onDemand && !throughput.Present() && (create || def.OnDemand):
		return invalidParameter("ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	}
	def.OnDemand = onDemand
	switch {
	case onDemand:
		def.Read, def.Write = 0, 0
	case throughput.Present():
		def.Read, def.Write = throughput.Get("ReadCapacityUnits").Int(0), throughput.Get("WriteCapacityUnits").Int(0)
	}
	return nil
}

// maxIndexes is how many secondary indexes a table may have.
const maxIndexes = 20

// addIndex adds the secondary index of a request to a definition.
func addIndex(in wire.Value, def *leases.Definition) error {
	if err := refuse(in, "OnDemandThroughput", "WarmThroughput"); err != nil {
		return err
	}
	index := leases.Index{Name: in.Get("IndexName").Text()}
	if err := checkName(index.Name); err != nil {
		return err
	}
	if def.Index(index.Name) != nil {
		return invalidParameter("Duplicate index name: %s", index.Name)
	}
	if len(def.Indexes) >= maxIndexes {
		return invalidParameter("GlobalSecondaryIndex count exceeds the per-table limit of %d", maxIndexes)
	}
	var err error
	if index.Schema, err = schemaOf(in.Get("KeySchema"), def.Attributes); err != nil {
		return err
	}
	projection := in.Get("Projection")
	index.Projection = projection.Get("ProjectionType").Text()
	for v := range projection.Get("NonKeyAttributes").Items() {
		index.NonKey = append(index.NonKey, v.Text())
	}
	switch {
	case index.Projection == "":
		return invalidParameter("Unknown ProjectionType: null")
	case index.Projection != "INCLUDE" && index.NonKey != nil:
		return invalidParameter("ProjectionType is %s, but NonKeyAttributes is specified", index.Projection)
	case index.Projection == "INCLUDE" && index.NonKey == nil:
		return invalidParameter("ProjectionType is INCLUDE, but NonKeyAttributes is not specified")
	}
	throughput := in.Get("ProvisionedThroughput")
	switch {
	case def.OnDemand && throughput.Present():
		return invalidParameter("ProvisionedThroughput should not be specified for index: %s when BillingMode is PAY_PER_REQUEST", index.Name)
	case !def.OnDemand && !throughput.Present():
		return invalidParameter("ProvisionedThroughput must be specified for index: %s", index.Name)
	}
	index.Read, index.Write = throughput.Get("ReadCapacityUnits").Int(0), throughput.Get("WriteCapacityUnits").Int(0)
	def.Indexes = append(def.Indexes, index)
	return nil
}

func (s *Service) updateTable(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	in := r.Input
	if err := refuse(in, "ReplicaUpdates", "OnDemandThroughput", "WarmThroughput", "MultiRegionConsistency", "GlobalTableWitnessUpdates", "GlobalTableSettingsReplicationMode"); err != nil {
		return err
	}
	if in.Get("StreamSpecification").Get("StreamEnabled").Bool(false) {
		return absent("StreamSpecification")
	}
	info, err := s.describe(in)
	if err != nil {
		return err
	}
	created := ""
	err = s.store.Change(ctx, info.Name, func(d *leases.Definition) error {
		if err := billing(in, d, false); err != nil {
			return err
		}
		if v := in.Get("DeletionProtectionEnabled"); v.Present() {
			d.Protected = v.Bool(false)
		}
		if v := in.Get("TableClass"); v.Present() {
			d.Class = v.Text()
		}
		created, err = updateIndexes(in, d)
		return err
	})
	if errors.Is(err, leases.ErrNotFound) {
		return tableNotFound(info.Name)
	}
	if err != nil {
		return s.translate(err)
	}
	if info, err = s.store.Describe(info.Name); err != nil {
		return tableNotFound(info.Name)
	}
	out.BeginObject()
	out.Key("TableDescription")
	s.encodeTable(out, info, "UPDATING", created)
	out.EndObject()
	return nil
}

// updateIndexes makes the changes of indexes that an UpdateTable asks for. It
// returns the name of one that was created.
func updateIndexes(in wire.Value, d *leases.Definition) (created string, err error) {
	updates := in.Get("GlobalSecondaryIndexUpdates")
	changes := 0
	for u := range updates.Items() {
		switch {
		case u.Get("Create").Present():
			changes++
			if d.Attributes, err = attributeDefinitions(in.Get("AttributeDefinitions"), d.Attributes); err != nil {
				return "", err
			}
			if err := addIndex(u.Get("Create"), d); err != nil {
				return "", err
			}
			created = u.Get("Create").Get("IndexName").Text()
		case u.Get("Delete").Present():
			changes++
			name := u.Get("Delete").Get("IndexName").Text()
			if d.Index(name) == nil {
				return "", wire.Errorf(codeNotFound, "Requested resource not found")
			}
			d.Indexes = slices.DeleteFunc(d.Indexes, func(i leases.Index) bool { return i.Name == name })
		case u.Get("Update").Present():
			if err := refuse(u.Get("Update"), "OnDemandThroughput", "WarmThroughput"); err != nil {
				return "", err
			}
			index := d.Index(u.Get("Update").Get("IndexName").Text())
			if index == nil {
				return "", wire.Errorf(codeNotFound, "Requested resource not found")
			}
			throughput := u.Get("Update").Get("ProvisionedThroughput")
			index.Read, index.Write = throughput.Get("ReadCapacityUnits").Int(0), throughput.Get("WriteCapacityUnits").Int(0)
		default:
			return "", invalidParameter("One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, GlobalSecondaryIndexUpdate.Delete must not be null")
		}
	}
	if changes > 1 {
		return "", wire.Errorf(codeLimit, "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table")
	}
	// What no key uses any more is forgotten with its index.
	used := map[string]bool{d.Hash: true, d.Range: true}
	for _, index := range d.Indexes {
		used[index.Hash], used[index.Range] = true, true
	}
	for name := range d.Attributes {
		if !used[name] {
			delete(d.Attributes, name)
		}
	}
	return created, nil
}

func (s *Service) describeTable(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	info, err := s.describe(r.Input)
	if err != nil {
		return err
	}
	return s.answer(out, "Table", info, "ACTIVE")
}

func (s *Service) deleteTable(ctx context.Context, r *wire.Request, out *wire.Encoder) error {
	info, err := s.describe(r.Input)
	if err != nil {
		return err
	}
	name := info.Name
	switch info, err = s.store.Drop(ctx, name); {
	case errors.Is(err, leases.ErrNotFound):
		return tableNotFound(name)
	case errors.Is(err, leases.ErrProtected):
		return invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	case err != nil:
		return s.translate(err)
	}
	return s.answer(out, "TableDescription", info, "DELETING")
}

func (s *Service) listTables(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	list := s.store.Names()
	if start := r.Input.Get("ExclusiveStartTableName"); start.Present() {
		i, found := slices.BinarySearch(list, start.View())
		if found {
			i++
		}
		list = list[i:]
	}
	limit := int(r.Input.Get("Limit").Int(100))
	more := len(list) > limit
	list = list[:min(len(list), limit)]
	out.BeginObject()
	out.Key("TableNames")
	out.BeginList()
	for _, name := range list {
		out.String(name)
	}
	out.EndList()
	if more {
		out.StringMember("LastEvaluatedTableName", list[len(list)-1])
	}
	out.EndObject()
	return nil
}

// answer writes an output that is the description of a table.
func (s *Service) answer(out *wire.Encoder, member string, info leases.Info, status string) error {
	out.BeginObject()
	out.Key(member)
	s.encodeTable(out, info, status, "")
	out.EndObject()
	return nil
}

// encodeTable writes a description. A call that changes a table says so in
// status and in that of the created index, although the change is complete:
// clients wait for ACTIVE, which the next DescribeTable tells.
func (s *Service) encodeTable(out *wire.Encoder, info leases.Info, status, created string) {
	out.BeginObject()
	out.Key("AttributeDefinitions")
	out.BeginList()
	for _, name := range names(info.Attributes) {
		out.BeginObject()
		out.StringMember("AttributeName", name)
		out.StringMember("AttributeType", info.Attributes[name])
		out.EndObject()
	}
	out.EndList()
	out.StringMember("TableName", info.Name)
	encodeSchema(out, info.Schema)
	out.StringMember("TableStatus", status)
	out.TimeMember("CreationDateTime", info.Created)
	encodeThroughput(out, info.Read, info.Write)
	out.IntMember("TableSizeBytes", info.Bytes)
	out.IntMember("ItemCount", info.Items)
	out.StringMember("TableArn", s.tableARN(info.Name))
	out.StringMember("TableId", info.UUID)
	if info.OnDemand {
		out.Key("BillingModeSummary")
		out.BeginObject()
		out.StringMember("BillingMode", "PAY_PER_REQUEST")
		out.TimeMember("LastUpdateToPayPerRequestDateTime", info.Created)
		out.EndObject()
	}
	if len(info.Indexes) > 0 {
		out.Key("GlobalSecondaryIndexes")
		out.BeginList()
		for i := range info.Indexes {
			s.encodeIndex(out, info, &info.Indexes[i], info.Indexes[i].Name == created || status == "CREATING")
		}
		out.EndList()
	}
	if info.Class != "" {
		out.Key("TableClassSummary")
		out.BeginObject()
		out.StringMember("TableClass", info.Class)
		out.EndObject()
	}
	out.BoolMember("DeletionProtectionEnabled", info.Protected)
	out.EndObject()
}

func (s *Service) encodeIndex(out *wire.Encoder, info leases.Info, index *leases.Index, creating bool) {
	out.BeginObject()
	out.StringMember("IndexName", index.Name)
	encodeSchema(out, index.Schema)
	out.Key("Projection")
	out.BeginObject()
	out.StringMember("ProjectionType", index.Projection)
	if index.NonKey != nil {
		out.Key("NonKeyAttributes")
		out.BeginList()
		for _, name := range index.NonKey {
			out.String(name)
		}
		out.EndList()
	}
	out.EndObject()
	if creating {
		out.StringMember("IndexStatus", "CREATING")
	} else {
		out.StringMember("IndexStatus", "ACTIVE")
	}
	encodeThroughput(out, index.Read, index.Write)
	out.IntMember("IndexSizeBytes", 0)
	out.IntMember("ItemCount", info.InIndex[index.Name])
	out.StringMember("IndexArn", s.tableARN(info.Name)+"/index/"+index.Name)
	out.EndObject()
}

func encodeSchema(out *wire.Encoder, s leases.Schema) {
	out.Key("KeySchema")
	out.BeginList()
	for _, e := range [][2]string{{s.Hash, "HASH"}, {s.Range, "RANGE"}} {
		if e[0] == "" {
			continue
		}
		out.BeginObject()
		out.StringMember("AttributeName", e[0])
		out.StringMember("KeyType", e[1])
		out.EndObject()
	}
	out.EndList()
}

func encodeThroughput(out *wire.Encoder, read, write int64) {
	out.Key("ProvisionedThroughput")
	out.BeginObject()
	out.IntMember("NumberOfDecreasesToday", 0)
	out.IntMember("ReadCapacityUnits", read)
	out.IntMember("WriteCapacityUnits", write)
	out.EndObject()
}
