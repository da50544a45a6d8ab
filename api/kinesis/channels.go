package kinesis

import (
	"context"

	"github.com/firehosed/firehosed/api/wire"
)

// noChannels answers the operations on channels, the delivery that the real
// service builds into streams. Delivery streams do that here.
func (s *Service) noChannels(context.Context, *wire.Request, *wire.Encoder) error {
	return wire.Errorf(codeArgument, "Channels are not available under account %s. Use a delivery stream to deliver the records of a stream.", s.account)
}

func (s *Service) listChannels(_ context.Context, r *wire.Request, out *wire.Encoder) error {
	if r.Input.Get("NextToken").Present() {
		return wire.Errorf(codeArgument, "Invalid NextToken.")
	}
	out.BeginObject()
	out.Key("ChannelSummaries")
	out.BeginList()
	out.EndList()
	out.EndObject()
	return nil
}
