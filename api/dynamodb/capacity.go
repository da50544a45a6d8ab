package dynamodb

import (
	"strconv"

	"github.com/firehosed/firehosed/api/wire"
	"github.com/firehosed/firehosed/leases"
)

// readUnits is the capacity that a read of n bytes takes in the real service.
func readUnits(n int, consistent bool) float64 {
	units := float64(max((n+4095)/4096, 1))
	if !consistent {
		units /= 2
	}
	return units
}

// writeUnits is the capacity that a write takes in the real service.
func writeUnits(old, item leases.Item) float64 {
	return float64(max((max(old.Size(), item.Size())+1023)/1024, 1))
}

// consumed writes the capacity that a call on one table took, if the request
// asks for it.
func (s *Service) consumed(out *wire.Encoder, in wire.Value, table string, units float64) {
	if !wantsCapacity(in) {
		return
	}
	out.Key("ConsumedCapacity")
	encodeCapacity(out, table, units)
}

func wantsCapacity(in wire.Value) bool {
	v := in.Get("ReturnConsumedCapacity").View()
	return v == "TOTAL" || v == "INDEXES"
}

func encodeCapacity(out *wire.Encoder, table string, units float64) {
	out.BeginObject()
	out.StringMember("TableName", table)
	out.Key("CapacityUnits")
	out.Raw(strconv.AppendFloat(nil, units, 'f', 1, 64))
	out.EndObject()
}
