package expression

import (
	"errors"
	"strings"
	"testing"

	"github.com/firehosed/firehosed/leases"
)

func n(s string) leases.Value {
	d, err := leases.ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return leases.Number(d)
}

func set(elements ...leases.Value) leases.Value {
	v, _ := leases.Set(elements[0].Kind.SetOf(), elements)
	return v
}

func list(elements ...leases.Value) leases.Value {
	return leases.Value{Kind: leases.KindList, List: elements}
}

func mapping(m leases.Item) leases.Value { return leases.Value{Kind: leases.KindMap, Map: m} }

var (
	s    = leases.String
	yes  = leases.Value{Kind: leases.KindBool, Bool: true}
	null = leases.Value{Kind: leases.KindNull}
)

func testItem() leases.Item {
	return leases.Item{
		"leaseKey": s("shard-1"), "leaseOwner": s("w1"), "leaseCounter": n("10"), "parents": set(s("a"), s("b")), "bin": leases.Binary("\x01\x02"),
		"m": mapping(leases.Item{"x": n("1"), "l": list(s("p"), mapping(leases.Item{"y": s("q")}))}), "l": list(n("0"), n("1"), n("2"), n("3")),
		"yes": yes, "null": null, "dot.name": s("d"), "SET": s("keyword"), "é": s("öä"),
	}
}

func testScope() *Scope {
	return &Scope{
		Names: map[string]string{"#k": "leaseKey", "#dot": "dot.name", "#o": "leaseOwner", "#none": "none", "#e": "é"},
		Values: map[string]leases.Value{
			":one": n("1"), ":ten": n("10.0"), ":two": n("2"), ":w1": s("w1"), ":w2": s("w2"), ":shard": s("shard"), ":S": s("S"), ":SS": s("SS"), ":bad": s("bad"),
			":ab": set(s("a"), s("b")), ":a": set(s("a")), ":c": set(s("c")), ":sa": s("a"), ":yes": yes, ":null": null, ":list": list(n("7")), ":bin": leases.Binary("\x01"),
			":ns": set(n("1")), ":m": mapping(leases.Item{"z": n("1")}), ":nines": n(strings.Repeat("9", 38)), ":tenth": n("0.1"),
		},
	}
}

func TestConditions(t *testing.T) {
	for _, tt := range []struct {
		src  string
		want bool
	}{
		{"leaseOwner = :w1", true},
		{"leaseOwner = :w2", false},
		{"leaseOwner <> :w2", true},
		{"none <> :w2", true},
		{"none = :w2", false},
		{"NOT none = :w2", true},
		{":ten = leaseCounter", true},
		{"leaseCounter > :two", true},
		{"leaseCounter <= :two", false},
		{"leaseCounter < :w1", false},
		{"leaseCounter >= :w1", false},
		{"none < :one", false},
		{"leaseCounter between :one and :ten", true},
		{"leaseCounter BETWEEN :one AND :two OR leaseOwner = :w1", true},
		{"leaseOwner IN (:w2, :one, :w1)", true},
		{"leaseOwner in (:w2)", false},
		{"attribute_exists(leaseKey)", true},
		{"attribute_exists(m.x)", true},
		{"attribute_exists(m.l[1].y)", true},
		{"attribute_exists(m.l[2])", false},
		{"attribute_exists(leaseKey.x)", false},
		{"attribute_exists(l.x)", false},
		{"attribute_exists(m[0])", false},
		{"attribute_not_exists(#none)", true},
		{"attribute_not_exists(#k)", false},
		{"attribute_exists(#dot)", true},
		{"attribute_exists(dot.name)", false},
		{"attribute_exists(SET)", true},
		{"attribute_type(parents, :SS)", true},
		{"attribute_type(parents, :S)", false},
		{"begins_with(#k, :shard)", true},
		{"begins_with(leaseOwner, :shard)", false},
		{"begins_with(bin, :bin)", true},
		{"contains(parents, :sa)", true},
		{"contains(parents, :w1)", false},
		{"contains(#k, :sa)", true},
		{"contains(l, :two)", true},
		{"contains(leaseCounter, :one)", false},
		{"size(#k) = :one", false},
		{"size(parents) = :two", true},
		{"size(#e) = :two", true},
		{"size(bin) = :two", true},
		{"size(m) = :two", true},
		{"size(leaseCounter) = :one", false},
		{"parents = :ab", true},
		{"yes = :yes AND null = :null", true},
		{"leaseOwner = :w2 OR leaseOwner = :w1 AND attribute_exists(none)", false},
		{"(leaseOwner = :w2 OR leaseOwner = :w1) AND NOT attribute_exists(none)", true},
		{"NOT (NOT leaseOwner = :w1)", true},
		{"#k = :shard AND attribute_exists(leaseOwner)\n\tOR leaseCounter=:ten", true},
	} {
		c, err := ParseCondition(tt.src, testScope())
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
		} else if got := c.Holds(testItem()); got != tt.want {
			t.Errorf("%s is %t", tt.src, got)
		}
	}
}

func TestConditionErrors(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"", "The expression can not be empty;"},
		{" \n", "The expression can not be empty;"},
		{strings.Repeat("x", 4097), "Expression size has exceeded the maximum allowed size; expression size: 4097"},
		{"a", `Syntax error; token: "<EOF>", near: "a"`},
		{"a b c", `Syntax error; token: "b", near: "a b c"`},
		{"a == :one", `Syntax error; token: "=", near: "== :one"`},
		{"a = :one AND", `Syntax error; token: "<EOF>", near: "AND"`},
		{"(a = :one", `Syntax error; token: "<EOF>", near: ":one"`},
		{"a = :one)", `Syntax error; token: ")", near: ":one)"`},
		{"a = $", `Syntax error; token: "$", near: "= $"`},
		{"a = €", `Syntax error; token: "€", near: "= €"`},
		{"a = :", `Syntax error; token: ":", near: "= :"`},
		{"a[x] = :one", `Syntax error; token: "x", near: "[x]"`},
		{"a[99999999999999999999] = :one", "List index is not within the allowable range; index: [99999999999999999999]"},
		{"#x = :one", "An expression attribute name used in the document path is not defined; attribute name: #x"},
		{"a = :x", "An expression attribute value used in expression is not defined; attribute value: :x"},
		{"foo(a)", "Invalid function name; function: foo"},
		{"a = foo(b)", "Invalid function name; function: foo"},
		{"a = contains(b, :one)", "The function is not allowed to be used this way in an expression; function: contains"},
		{"if_not_exists(a, :one)", "The function is not allowed in a condition expression; function: if_not_exists"},
		{"attribute_exists(a, b)", "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2"},
		{"attribute_exists(:one)", "Operator or function requires a document path; operator or function: attribute_exists"},
		{"size(:one) = :one", "Operator or function requires a document path; operator or function: size"},
		{"attribute_type(a, :one)", "Incorrect operand type for operator or function; operator or function: attribute_type, operand type: N"},
		{"attribute_type(a, :bad)", "Invalid attribute type name found; type: bad, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"},
		{"begins_with(a, :one)", "Incorrect operand type for operator or function; operator or function: begins_with, operand type: N"},
		{"a < :yes", "Incorrect operand type for operator or function; operator or function: <, operand type: BOOL"},
		{"a BETWEEN :two AND :one", "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {N:2}, upper bound operand: AttributeValue: {N:1}"},
		{"a BETWEEN :two AND :w1", "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {N:2}, upper bound operand: AttributeValue: {S:w1}"},
		{"a.b = a.b", "The first operand must be distinct from the remaining operands for this operator or function; operator: =, first operand: [a, b]"},
	} {
		_, err := ParseCondition(tt.src, testScope())
		var told *Error
		if !errors.As(err, &told) || told.Message != tt.want {
			t.Errorf("%.40s: %v, want %s", tt.src, err, tt.want)
		}
	}
}

func TestUpdates(t *testing.T) {
	for _, tt := range []struct {
		src     string
		changed leases.Item // attributes that differ; zero Value for gone
	}{
		{"SET leaseOwner = :w2, leaseCounter = leaseCounter + :one", leases.Item{"leaseOwner": s("w2"), "leaseCounter": n("11")}},
		{"set leaseCounter = :ten - leaseCounter", leases.Item{"leaseCounter": n("0")}},
		{"SET a = if_not_exists(a, :one) + :one", leases.Item{"a": n("2")}},
		{"SET a = if_not_exists(leaseCounter, :one)", leases.Item{"a": n("10")}},
		{"SET a = if_not_exists(b, if_not_exists(c, :one))", leases.Item{"a": n("1")}},
		{"SET a = leaseOwner, leaseOwner = leaseKey", leases.Item{"a": s("w1"), "leaseOwner": s("shard-1")}},
		{"SET l = list_append(l, :list)", leases.Item{"l": list(n("0"), n("1"), n("2"), n("3"), n("7"))}},
		{"SET l = list_append(:list, l)", leases.Item{"l": list(n("7"), n("0"), n("1"), n("2"), n("3"))}},
		{"SET l[1] = :w1, l[9] = :two, l[7] = :one", leases.Item{"l": list(n("0"), s("w1"), n("2"), n("3"), n("1"), n("2"))}},
		{"SET m.x = :two, m.new = :one", leases.Item{"m": mapping(leases.Item{"x": n("2"), "new": n("1"), "l": list(s("p"), mapping(leases.Item{"y": s("q")}))})}},
		{"SET m.l[1].y = :one", leases.Item{"m": mapping(leases.Item{"x": n("1"), "l": list(s("p"), mapping(leases.Item{"y": n("1")}))})}},
		{"SET a = (leaseCounter + :one)", leases.Item{"a": n("11")}},
		{"REMOVE leaseOwner, none, l[0], l[2], l[9]", leases.Item{"leaseOwner": {}, "l": list(n("1"), n("3"))}},
		{"REMOVE m.l[1].y, m.none", leases.Item{"m": mapping(leases.Item{"x": n("1"), "l": list(s("p"), mapping(leases.Item{}))})}},
		{"ADD leaseCounter :one, a :two, parents :c, b :c", leases.Item{"leaseCounter": n("11"), "a": n("2"), "parents": set(s("a"), s("b"), s("c")), "b": set(s("c"))}},
		{"ADD parents :a", leases.Item{}},
		{"ADD leaseCounter :tenth", leases.Item{"leaseCounter": n("10.1")}},
		{"ADD m.x :one", leases.Item{"m": mapping(leases.Item{"x": n("2"), "l": list(s("p"), mapping(leases.Item{"y": s("q")}))})}},
		{"DELETE parents :a, none :c", leases.Item{"parents": set(s("b"))}},
		{"DELETE parents :ab", leases.Item{"parents": {}}},
		{"SET a = :one REMOVE yes ADD c :one DELETE parents :a", leases.Item{"a": n("1"), "yes": {}, "c": n("1"), "parents": set(s("b"))}},
	} {
		u, err := ParseUpdate(tt.src, testScope())
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		item := testItem()
		got, err := u.Apply(item)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		if !item.Equal(testItem()) {
			t.Errorf("%s changed the old item", tt.src)
		}
		want := testItem()
		for name, v := range tt.changed {
			if want[name] = v; v.Kind == 0 {
				delete(want, name)
			}
		}
		if !got.Equal(want) {
			t.Errorf("%s gives %v, want %v", tt.src, got, want)
		}
	}
}

func TestUpdateErrors(t *testing.T) {
	for _, tt := range []struct{ src, want string }{
		{"", "The expression can not be empty;"},
		{"SET", `Syntax error; token: "<EOF>", near: "SET"`},
		{"SET a", `Syntax error; token: "<EOF>", near: "a"`},
		{"SET a = :one,", `Syntax error; token: "<EOF>", near: ","`},
		{"PUT a = :one", `Syntax error; token: "PUT", near: "PUT a"`},
		{"SET a = :one + :one + :one", `Syntax error; token: "+", near: ":one + :one"`},
		{"SET a = :one SET b = :one", `The "SET" section can only be used once in an update expression;`},
		{"SET a = :one REMOVE a", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]"},
		{"SET a = :one, a.b[1] = :one", "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, b, [1]]"},
		{"SET a.b = :one, a[1] = :one", "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a, [1]]"},
		{"ADD a :w1", "Incorrect operand type for operator or function; operator: ADD, operand type: STRING, typeSet: ALLOWED_FOR_ADD_OPERAND"},
		{"DELETE a :one", "Incorrect operand type for operator or function; operator: DELETE, operand type: NUMBER, typeSet: ALLOWED_FOR_DELETE_OPERAND"},
		{"SET a = :w1 + :one", "Incorrect operand type for operator or function; operator or function: +, operand type: S"},
		{"SET a = list_append(b, :one)", "Incorrect operand type for operator or function; operator or function: list_append, operand type: N"},
		{"SET a = if_not_exists(:one, :one)", "Operator or function requires a document path; operator or function: if_not_exists"},
		{"SET a = if_not_exists(b)", "Incorrect number of operands for operator or function; operator or function: if_not_exists, number of operands: 1"},
		{"SET a = size(b)", "The function is not allowed in an update expression; function: size"},
		{"SET a = foo(b)", "Invalid function name; function: foo"},
		{"SET a = " + strings.Repeat("(", 40) + "b" + strings.Repeat(")", 40), "The expression contains too many nested operators"},
		// These depend on the item.
		{"SET a = none", msgNoAttribute},
		{"SET a = leaseOwner + :one", msgWrongType},
		{"SET a = list_append(leaseOwner, :list)", msgWrongType},
		{"ADD leaseOwner :one", msgWrongType},
		{"ADD parents :ns", msgWrongType},
		{"DELETE leaseOwner :a", msgWrongType},
		{"SET none.x = :one", msgBadPath},
		{"SET leaseOwner.x = :one", msgBadPath},
		{"SET m[0] = :one", msgBadPath},
		{"SET l.x = :one", msgBadPath},
		{"REMOVE none.x", msgBadPath},
		{"REMOVE l.x", msgBadPath},
		{"SET a = :nines + :tenth", "Attempting to store more than 38 significant digits in a Number"},
	} {
		u, err := ParseUpdate(tt.src, testScope())
		if err == nil {
			_, err = u.Apply(testItem())
		}
		var told *Error
		if !errors.As(err, &told) || told.Message != tt.want {
			t.Errorf("%.60s: %v, want %s", tt.src, err, tt.want)
		}
	}
}

// TestUpdateSize makes lists that grow by every call: the update fails long
// before memory does.
func TestUpdateSize(t *testing.T) {
	src := "l"
	for range 12 {
		src = "list_append(" + src + ", l)"
	}
	big := list(make([]leases.Value, 100_000)...)
	for i := range big.List {
		big.List[i] = null
	}
	u, err := ParseUpdate("SET a = "+src, &Scope{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Apply(leases.Item{"l": big}); err == nil || err.Error() != MsgUpdateSize {
		t.Errorf("got %v", err)
	}
}

func TestProjections(t *testing.T) {
	for _, tt := range []struct {
		src  string
		want leases.Item
	}{
		{"leaseOwner, #k, none", leases.Item{"leaseOwner": s("w1"), "leaseKey": s("shard-1")}},
		{"m.x", leases.Item{"m": mapping(leases.Item{"x": n("1")})}},
		{"l[3], l[1], l[8]", leases.Item{"l": list(n("1"), n("3"))}},
		{"m.l[1].y, m.none", leases.Item{"m": mapping(leases.Item{"l": list(mapping(leases.Item{"y": s("q")}))})}},
		{"none.x, leaseOwner.x, l.x, m[0]", leases.Item{}},
	} {
		p, err := ParseProjection(tt.src, testScope())
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
		} else if got := p.Of(testItem()); !got.Equal(tt.want) {
			t.Errorf("%s gives %v, want %v", tt.src, got, tt.want)
		}
	}
	for src, want := range map[string]string{
		"a, a":   "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
		"a,":     `Syntax error; token: "<EOF>", near: ","`,
		"a :one": `Syntax error; token: ":one", near: "a :one"`,
	} {
		if _, err := ParseProjection(src, testScope()); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", src, err, want)
		}
	}
}

func TestKeyTerms(t *testing.T) {
	c, err := ParseCondition("(a = :one AND :two <= b) AND begins_with(c, :w1)", testScope())
	if err != nil {
		t.Fatal(err)
	}
	terms, err := c.KeyTerms()
	if err != nil || len(terms) != 3 || terms[1].Attribute != "b" || terms[1].Op != ">=" || !terms[1].Values[0].Equal(n("2")) || terms[2].Op != "begins_with" {
		t.Errorf("terms %+v, %v", terms, err)
	}
	for src, want := range map[string]string{
		"a = :one OR b = :one":           "Invalid operator used in KeyConditionExpression: OR",
		"NOT a = :one":                   "Invalid operator used in KeyConditionExpression: NOT",
		"a <> :one":                      "Invalid operator used in KeyConditionExpression: <>",
		"attribute_exists(a)":            "Invalid operator used in KeyConditionExpression: attribute_exists",
		"a.b = :one":                     "KeyConditionExpressions cannot have conditions on nested attributes",
		"size(a) = :one":                 "KeyConditionExpressions cannot contain the function size",
		"a = b":                          "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
		":one BETWEEN :one AND :two":     "Invalid condition in KeyConditionExpression: BETWEEN operator must have the key attribute as its first operand",
		"a = :one AND (b = :one OR a=b)": "Invalid operator used in KeyConditionExpression: OR",
	} {
		c, err := ParseCondition(src, testScope())
		if err == nil {
			_, err = c.KeyTerms()
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", src, err, want)
		}
	}
}

func TestUnused(t *testing.T) {
	scope := &Scope{Names: map[string]string{"#a": "a", "#b": "b"}, Values: map[string]leases.Value{":x": s("x"), ":y": s("y"), ":z": s("z")}}
	if _, err := ParseCondition("#a = :y", scope); err != nil {
		t.Fatal(err)
	}
	names, values := scope.Unused()
	if strings.Join(names, " ") != "#b" || strings.Join(values, " ") != ":x :z" {
		t.Errorf("unused %q, %q", names, values)
	}
}
