package cloudwatch

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/firehosed/firehosed/api/wire"
)

// Codes of errors.
const (
	codeMissing     = "MissingRequiredParameterException"
	codeValue       = "InvalidParameterValueException"
	codeCombination = "InvalidParameterCombinationException"
)

// Limits of the real service.
const (
	maxData       = 1000
	maxDimensions = 30
	maxValues     = 150
	maxEntities   = 2
	maxName       = 255
	maxDimension  = 1024 // of the value of one
	past          = 14 * 24 * time.Hour
	future        = 2 * time.Hour
)

// largest is the largest value, and with a minus the smallest.
var largest = math.Ldexp(1, 360)

// maxProblems bounds how many problems one answer names.
const maxProblems = 100

// maxShown is how much of a value a message repeats.
const maxShown = 255

var units = []string{
	"Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes",
	"Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second", "Kilobytes/Second",
	"Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second", "Kilobits/Second", "Megabits/Second",
	"Gigabits/Second", "Terabits/Second", "Count/Second", "None",
}

// check collects what is wrong with a request.
type check struct {
	now      time.Time
	code     string // of the first problem; only problems of this code are told
	problems []string
}

func (c *check) fail(code, format string, args ...any) {
	if c.code == "" {
		c.code = code
	}
	if c.code == code && len(c.problems) < maxProblems {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

func (c *check) err() error {
	if c.code == "" {
		return nil
	}
	return wire.Errorf(c.code, "%s", strings.Join(c.problems, "\n"))
}

func (c *check) namespace(v wire.Value) {
	c.text(v, "Namespace", maxName)
	if text := v.View(); strings.HasPrefix(text, ":") || strings.HasPrefix(text, "AWS/") {
		c.fail(codeValue, "The value %s for parameter Namespace is invalid.", show(text))
	}
}

// request reads the data of a request.
func (c *check) request(in wire.Value) []datum {
	plain, entities := in.Get("MetricData"), in.Get("EntityMetricData")
	count := plain.Len()
	for e := range entities.Items() {
		count += e.Get("MetricData").Len()
	}
	switch {
	case count == 0:
		c.fail(codeMissing, "The parameter MetricData is required.")
		return nil
	case count > maxData:
		c.fail(codeValue, "The collection MetricData must not have a size greater than %d.", maxData)
		return nil
	case entities.Len() > maxEntities:
		c.fail(codeValue, "The collection EntityMetricData must not have a size greater than %d.", maxEntities)
		return nil
	}
	data := make([]datum, 0, count)
	data = c.data(data, plain, "MetricData")
	at := 0
	for e := range entities.Items() {
		at++
		data = c.data(data, e.Get("MetricData"), "EntityMetricData.member."+strconv.Itoa(at)+".MetricData")
	}
	return data
}

func (c *check) data(data []datum, in wire.Value, path string) []datum {
	at := 0
	for v := range in.Items() {
		at++
		if len(c.problems) >= maxProblems {
			return data
		}
		data = append(data, c.datum(v, path+".member."+strconv.Itoa(at)))
	}
	return data
}

func (c *check) datum(v wire.Value, path string) datum {
	d := datum{unit: "None", extremes: none}
	c.text(v.Get("MetricName"), path+".MetricName", maxName)
	d.metric = v.Get("MetricName").View()
	d.dimensions = c.dimensions(v.Get("Dimensions"), path+".Dimensions")
	if at := v.Get("Timestamp"); at.Present() {
		if t := at.Time(); t.Before(c.now.Add(-past)) || t.After(c.now.Add(future)) {
			c.fail(codeValue, "The parameter %s.Timestamp must specify a time within the past two weeks.", path)
		}
	}
	if unit := v.Get("Unit"); unit.Present() {
		i := slices.Index(units, unit.View())
		if i < 0 {
			c.fail(codeValue, "The parameter %s.Unit must be a value in the set [ %s ].", path, strings.Join(units, ", "))
			i = 0
		}
		d.unit = units[i]
	}
	if r := v.Get("StorageResolution").Int(60); r != 1 && r != 60 {
		c.fail(codeValue, "The parameter %s.StorageResolution must be a value in the set [ 1, 60 ].", path)
	}
	c.amount(&d, v, path)
	return d
}

// amount reads the one of Value, StatisticValues and Values that is there.
func (c *check) amount(d *datum, v wire.Value, path string) {
	var there []string
	for _, name := range []string{"Value", "StatisticValues", "Values"} {
		if v.Get(name).Present() {
			there = append(there, name)
		}
	}
	switch {
	case len(there) > 1:
		c.fail(codeCombination, "The parameters %s.%s and %s.%s are mutually exclusive and you have specified both.", path, there[0], path, there[1])
	case len(there) == 0:
		c.fail(codeMissing, "At least one of the parameters %s.Value, %s.Values or %s.StatisticValues must be specified.", path, path, path)
	case there[0] == "Value":
		x := c.number(v.Get("Value"), path+".Value")
		d.count, d.sum, d.extremes = 1, x, extremes{x, x}
	case there[0] == "Values":
		c.values(d, v, path)
	default:
		c.statistics(d, v.Get("StatisticValues"), path+".StatisticValues")
	}
}

func (c *check) values(d *datum, v wire.Value, path string) {
	values, counts := v.Get("Values"), v.Get("Counts")
	if values.Len() == 0 {
		c.fail(codeMissing, "The parameter %s.Values is required.", path)
		return
	}
	if values.Len() > maxValues {
		c.fail(codeValue, "The collection %s.Values must not have a size greater than %d.", path, maxValues)
		return
	}
	weights := make([]float64, 0, maxValues)
	if counts.Present() {
		if counts.Len() != values.Len() {
			c.fail(codeValue, "The parameters %s.Values and %s.Counts must be of the same size.", path, path)
			return
		}
		for n := range counts.Items() {
			name := path + ".Counts.member." + strconv.Itoa(len(weights)+1)
			w := c.number(n, name)
			if w < 0 {
				c.fail(codeValue, "The parameter %s must be greater than or equal to 0.", name)
			}
			weights = append(weights, w)
		}
	}
	at := 0
	for n := range values.Items() {
		at++
		x, weight := c.number(n, path+".Values.member."+strconv.Itoa(at)), 1.0
		if len(weights) > 0 {
			weight = weights[at-1]
		}
		if weight > 0 {
			d.count += weight
			d.sum += weight * x
			d.add(extremes{x, x})
		}
	}
}

func (c *check) statistics(d *datum, v wire.Value, path string) {
	missing := false
	for _, name := range []string{"Maximum", "Minimum", "SampleCount", "Sum"} {
		if !v.Get(name).Present() {
			missing = true
			c.fail(codeMissing, "The parameter %s.%s is required.", path, name)
		}
	}
	if missing {
		return
	}
	d.max = c.number(v.Get("Maximum"), path+".Maximum")
	d.min = c.number(v.Get("Minimum"), path+".Minimum")
	d.count = c.number(v.Get("SampleCount"), path+".SampleCount")
	d.sum = c.number(v.Get("Sum"), path+".Sum")
	if d.max < d.min {
		c.fail(codeValue, "The parameter %s.Maximum must be greater than %s.Minimum.", path, path)
	}
	if d.count <= 0 {
		c.fail(codeValue, "The parameter %s.SampleCount must be greater than 0.", path)
	}
}

func (c *check) dimensions(v wire.Value, path string) []Dimension {
	if v.Len() == 0 {
		return nil
	}
	if v.Len() > maxDimensions {
		c.fail(codeValue, "The collection %s must not have a size greater than %d.", path, maxDimensions)
		return nil
	}
	all := make([]Dimension, 0, v.Len())
	for dim := range v.Items() {
		in := path + ".member." + strconv.Itoa(len(all)+1)
		name, value := dim.Get("Name"), dim.Get("Value")
		c.text(name, in+".Name", maxName)
		c.text(value, in+".Value", maxDimension)
		if strings.HasPrefix(name.View(), ":") {
			c.fail(codeValue, "The value %s for parameter %s.Name is invalid.", show(name.View()), in)
		}
		all = append(all, Dimension{name.View(), value.View()})
	}
	return all
}

// number reads a number within the range of the service.
func (c *check) number(v wire.Value, path string) float64 {
	if !v.Present() {
		c.fail(codeMissing, "The parameter %s is required.", path)
		return 0
	}
	x := v.Float(0)
	if !(x >= -largest && x <= largest) {
		c.fail(codeValue, "The value %s for parameter %s is invalid.", strconv.FormatFloat(x, 'g', -1, 64), path)
		return 0
	}
	return x
}

// text checks a name: printable ASCII that is not blank.
func (c *check) text(v wire.Value, path string, longest int) {
	text := v.View()
	if strings.TrimSpace(text) == "" {
		c.fail(codeMissing, "The parameter %s is required.", path)
		return
	}
	for i := range len(text) {
		if text[i] > '~' {
			c.fail(codeValue, "The value for parameter %s contains non-ASCII characters.", path)
			break
		}
		if text[i] < ' ' {
			c.fail(codeValue, "The value for parameter %s contains control characters.", path)
			break
		}
	}
	if len(text) > longest {
		c.fail(codeValue, "The parameter %s must be shorter than %d characters.", path, longest+1)
	}
}

func show(text string) string {
	if len(text) > maxShown {
		return strings.ToValidUTF8(text[:maxShown], "") + "..."
	}
	return text
}
