// Package filter is the transform that keeps the records for which an
// expression is true and drops the others. It reads records and never changes
// their bytes.
//
// The expression is in the language of github.com/expr-lang/expr. Its variables
// are the top-level fields of the record, which then must be a JSON object; a
// field that is missing is nil, and a name that is no identifier is written
// $env["user-agent"]. $record is the record itself: id, partition_key, shard_id,
// sequence_number, arrival (a time), size (bytes) and data (the text). An
// expression that only asks $record takes any content, JSON or not.
//
// Comparing nil with < <= > >= is an error, and so are other operations on
// values of the wrong type: the record fails rather than being dropped, because
// a dropped record is gone for good and a failed one is in the error output.
// Write (status ?? 0) >= 200 to decide otherwise.
package filter

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"

	"github.com/firehosed/firehosed/transform"
)

// The codes of failed outcomes.
const (
	CodeError    = "Filter.Error"    // the expression has no answer for this record
	CodeNoObject = "Filter.NoObject" // the record is no JSON object
)

// memoryBudget is what one evaluation may allocate, in values, as expr counts
// them; loops over a record's arrays stay far below.
const memoryBudget = 1_000_000

// maxMessage bounds messages, in bytes: they may quote a value of the record.
const maxMessage = 300

const recordName = "$record"

// Options of a filter step.
type Options struct {
	// Expr must be true or false for every record.
	Expr string
}

// Transformer is a filter step.
type Transformer struct {
	program *vm.Program
	uses    uses
	vms     sync.Pool // of *vm.VM
}

var _ transform.Transformer = (*Transformer)(nil)

// uses is what an expression asks for.
type uses struct {
	fields bool // anything but $record
	record bool
	clock  bool

	unknown *ast.IdentifierNode // a function there is none of
}

// Visit implements ast.Visitor.
func (u *uses) Visit(node *ast.Node) {
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		if n.Value == recordName {
			u.record = true
		} else {
			u.fields = true
		}
	case *ast.BuiltinNode:
		u.clock = u.clock || n.Name == "now"
	case *ast.CallNode:
		if id, ok := n.Callee.(*ast.IdentifierNode); ok {
			u.clock = u.clock || id.Value == "now"
			// The compiler takes it for a field, which can never be a function.
			if _, ok := builtin.Index[id.Value]; !ok && u.unknown == nil {
				u.unknown = id
			}
		}
	}
}

// New compiles the expression. The error says where in it the fault is, as
// line:column.
func New(opt Options) (*Transformer, error) {
	if strings.TrimSpace(opt.Expr) == "" {
		return nil, errors.New("filter: expr is missing")
	}
	t := &Transformer{vms: sync.Pool{New: func() any { return &vm.VM{MemoryBudget: memoryBudget} }}}
	var err error
	t.program, err = expr.Compile(opt.Expr,
		expr.Env(map[string]any{}), expr.AllowUndefinedVariables(), expr.Timezone("UTC"), expr.Patch(&t.uses))
	if err == nil && t.uses.unknown != nil {
		fe := &file.Error{Location: t.uses.unknown.Location(), Message: "unknown function " + t.uses.unknown.Value}
		err = fe.Bind(file.NewSource(opt.Expr))
	}
	if err != nil {
		return nil, fmt.Errorf("filter: expr %s", place(err))
	}
	// Not expr.AsBool: it takes a missing field for false.
	if typ := t.program.Node().Type(); typ != nil && typ.Kind() != reflect.Bool && typ.Kind() != reflect.Interface {
		return nil, fmt.Errorf("filter: expr gives a %v, not true or false", typ)
	}
	return t, nil
}

// place puts the position in front, on one line.
func place(err error) string {
	var fe *file.Error
	if !errors.As(err, &fe) || fe.Line == 0 {
		first, _, _ := strings.Cut(err.Error(), "\n")
		return clip(first)
	}
	return clip(fmt.Sprintf("%d:%d: %s", fe.Line, fe.Column+1, strings.ReplaceAll(fe.Message, "\n", " ")))
}

func clip(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	n := maxMessage
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}

// Deterministic is true unless the expression asks for the time.
func (t *Transformer) Deterministic() bool { return !t.uses.clock }

// Close does nothing.
func (t *Transformer) Close() error { return nil }

// Transform evaluates the expression for each record.
func (t *Transformer) Transform(ctx context.Context, in []transform.Record) ([]transform.Outcome, error) {
	m := t.vms.Get().(*vm.VM)
	defer t.vms.Put(m)
	return transform.Each(ctx, in, func(r *transform.Record) transform.Outcome { return t.one(m, r) })
}

func (t *Transformer) one(m *vm.VM, r *transform.Record) transform.Outcome {
	env, bad := t.env(r)
	if bad != "" {
		return transform.Fail(CodeNoObject, "filter: "+bad)
	}
	v, err := m.Run(t.program, env)
	if err != nil {
		msg := place(err)
		if strings.Contains(msg, "<nil>") {
			msg += " (a field is missing or null: write (field ?? default) to say what then)"
		}
		return transform.Fail(CodeError, "filter: expr "+msg)
	}
	switch v {
	case true:
		return transform.Outcome{Record: *r}
	case false:
		return transform.Outcome{Verdict: transform.Dropped}
	}
	if v == nil {
		return transform.Fail(CodeError, "filter: expr gives nothing: a field is missing or null")
	}
	return transform.Fail(CodeError, fmt.Sprintf("filter: expr gives a %T, not true or false", v))
}

func (t *Transformer) env(r *transform.Record) (map[string]any, string) {
	var fields map[string]any
	if t.uses.fields {
		v, err := r.Value()
		if err != nil {
			return nil, err.Error()
		}
		var ok bool
		if fields, ok = v.(map[string]any); !ok {
			return nil, "the record is JSON, but no object"
		}
		if r.HasBig() {
			fields = floats(fields).(map[string]any)
		}
	}
	if !t.uses.record {
		return fields, ""
	}
	env := make(map[string]any, len(fields)+1)
	for k, v := range fields {
		env[k] = v
	}
	env[recordName] = map[string]any{
		"id": r.ID, "partition_key": r.PartitionKey, "shard_id": r.ShardID, "sequence_number": r.SequenceNumber,
		"arrival": r.Arrival, "size": len(r.Data), "data": string(r.Data),
	}
	return env, ""
}

// floats returns v with the nearest float64 for integers that are outside int:
// the language has no larger ones. v itself stays as it is.
func floats(v any) any {
	switch v := v.(type) {
	case *big.Int:
		f, _ := new(big.Float).SetInt(v).Float64()
		return f
	case []any:
		a := make([]any, len(v))
		for i := range v {
			a[i] = floats(v[i])
		}
		return a
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = floats(x)
		}
		return m
	}
	return v
}
