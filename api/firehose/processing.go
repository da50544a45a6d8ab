package firehose

import (
	"net/url"
	"strconv"

	"github.com/firehosed/firehosed/api/wire"
)

// readProcessing reads the steps of a delivery stream; nil if there are none.
// role is what a Lambda processor is described with if it names none.
func readProcessing(v wire.Value, role string) (*Processing, error) {
	if !v.Present() {
		return nil, nil
	}
	p := &Processing{Enabled: v.Get("Enabled").Bool(false)}
	lambdas := 0
	for item := range v.Get("Processors").Items() {
		processor := Processor{Type: item.Get("Type").Text()}
		for q := range item.Get("Parameters").Items() {
			processor.Parameters = append(processor.Parameters,
				Parameter{Name: q.Get("ParameterName").Text(), Value: q.Get("ParameterValue").Text()})
		}
		if processor.Type == "Lambda" {
			lambdas++
		}
		if p.Enabled {
			if err := checkProcessor(processor); err != nil {
				return nil, err
			}
		}
		if processor.Type == "Lambda" {
			processor = withLambdaDefaults(processor, role)
		}
		p.Processors = append(p.Processors, processor)
	}
	switch n := len(p.Processors); {
	case p.Enabled && (n < 1 || n > 5):
		return nil, invalid("A maximum of 5 and a minimum of 1 processor needs to be supplied when processing is enabled.")
	case p.Enabled && lambdas > 1:
		return nil, invalid("Cannot have more than 1 Lambda processor.")
	}
	return p, nil
}

func checkProcessor(p Processor) error {
	switch p.Type {
	case "Lambda":
		if p.Parameter("LambdaArn") == "" {
			return invalid("LambdaArn is required when Lambda processor is used.")
		}
		if n, ok := number(p, "NumberOfRetries", 3); !ok || n < 0 || n > 300 {
			return invalid("Number of retries for lambda must be between 0 and 300.")
		}
		if n, ok := number(p, "BufferSizeInMBs", 1); !ok || n < 0.2 || n > 3 {
			return invalid("BufferSizeInMBs for lambda processor must be between 0.2 and 3.")
		}
		if n, ok := number(p, "BufferIntervalInSeconds", 60); !ok || n < 0 || n > 900 {
			return invalid("BufferIntervalInSeconds for lambda processor must be between 0 and 900.")
		}
	case "RecordDeAggregation":
		switch p.Parameter("SubRecordType") {
		case "JSON":
		case "DELIMITED":
			if p.Parameter("Delimiter") == "" {
				return invalid("Delimiter is required when SubRecordType is DELIMITED.")
			}
		default:
			return invalid("SubRecordType has to be one of JSON, DELIMITED")
		}
	case "MetadataExtraction":
		if p.Parameter("JsonParsingEngine") != "JQ-1.6" {
			return invalid("MetaDataExtraction JSON Parsing Engine has to be one of JQ-1.6")
		}
	}
	return nil
}

// number reads a parameter as a number, def if it is absent.
func number(p Processor, name string, def float64) (float64, bool) {
	text := p.Parameter(name)
	if text == "" {
		return def, true
	}
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

// withLambdaDefaults returns a Lambda processor as it is described: all its
// parameters, in the order of the real service.
func withLambdaDefaults(p Processor, role string) Processor {
	out := Processor{Type: p.Type}
	for _, d := range [...]Parameter{
		{"LambdaArn", ""}, {"NumberOfRetries", "3"}, {"RoleArn", role}, {"BufferSizeInMBs", "1"}, {"BufferIntervalInSeconds", "60"},
	} {
		if v := p.Parameter(d.Name); v != "" {
			d.Value = v
		}
		if d.Value != "" {
			out.Parameters = append(out.Parameters, d)
		}
	}
	return out
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return invalid("EndpointConfiguration.Url: %q is not a URL with a host.", text)
	}
	return nil
}
