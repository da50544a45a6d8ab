package expression

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/firehosed/firehosed/leases"
)

var seedFlag = flag.Int64("seed", -1, "run random tests with this seed only")

// TestRandomConditions renders random conditions, with no more brackets than
// they need, and compares what is read back with what was meant.
func TestRandomConditions(t *testing.T) {
	first, count := uint64(time.Now().UnixNano()), uint64(3000)
	if *seedFlag >= 0 {
		first, count = uint64(*seedFlag), 1
	}
	for seed := first; seed < first+count; seed++ {
		rng := rand.New(rand.NewPCG(seed, 0))
		item := leases.Item{}
		for i := range 4 {
			if rng.IntN(3) > 0 {
				item[fmt.Sprint("a", i)] = leases.Number(leases.Whole(rng.IntN(4)))
			}
		}
		m := randomMeaning(rng, 4)
		src := m.render(0)
		c, err := ParseCondition(src, &Scope{Values: randomValues})
		if err != nil {
			t.Fatalf("%s: %v; replay with -seed=%d", src, err, seed)
		}
		if got := c.Holds(item); got != m.holds(item) {
			t.Fatalf("%s is %t for %v; replay with -seed=%d", src, got, item, seed)
		}
	}
}

var randomValues = map[string]leases.Value{}

func init() {
	for i := range 4 {
		randomValues[fmt.Sprint(":v", i)] = leases.Number(leases.Whole(i))
	}
}

// meaning is a condition as the test understands it.
type meaning struct {
	op    string // OR, AND, NOT, exists, BETWEEN, IN, or a comparison
	parts []meaning
	attr  string
	args  []int
}

func randomMeaning(rng *rand.Rand, depth int) meaning {
	if depth > 0 && rng.IntN(3) > 0 {
		m := meaning{op: []string{"OR", "AND", "NOT"}[rng.IntN(3)]}
		m.parts = append(m.parts, randomMeaning(rng, depth-1))
		for m.op != "NOT" && (len(m.parts) < 2 || rng.IntN(3) == 0) {
			m.parts = append(m.parts, randomMeaning(rng, depth-1))
		}
		return m
	}
	m := meaning{op: []string{"exists", "BETWEEN", "IN", "=", "<>", "<", "<=", ">", ">="}[rng.IntN(9)], attr: fmt.Sprint("a", rng.IntN(4))}
	m.args = []int{rng.IntN(4), rng.IntN(4)}
	if m.op == "BETWEEN" && m.args[0] > m.args[1] {
		m.args[0], m.args[1] = m.args[1], m.args[0]
	}
	return m
}

// render writes the condition for a place that binds as strong as level: 0 for
// OR, 1 for AND, 2 for NOT.
func (m meaning) render(level int) string {
	own := map[string]int{"OR": 0, "AND": 1, "NOT": 2}
	out := ""
	switch m.op {
	case "OR", "AND":
		for i, p := range m.parts {
			if i > 0 {
				out += " " + m.op + " "
			}
			out += p.render(own[m.op] + 1)
		}
	case "NOT":
		out = "NOT " + m.parts[0].render(2)
	case "exists":
		return "attribute_exists(" + m.attr + ")"
	case "BETWEEN":
		return fmt.Sprintf("%s BETWEEN :v%d AND :v%d", m.attr, m.args[0], m.args[1])
	case "IN":
		return fmt.Sprintf("%s IN (:v%d,:v%d)", m.attr, m.args[0], m.args[1])
	default:
		return fmt.Sprintf("%s %s :v%d", m.attr, m.op, m.args[0])
	}
	if own[m.op] < level {
		return "(" + out + ")"
	}
	return out
}

func (m meaning) holds(item leases.Item) bool {
	switch m.op {
	case "OR", "AND":
		for _, p := range m.parts {
			if p.holds(item) == (m.op == "OR") {
				return m.op == "OR"
			}
		}
		return m.op == "AND"
	case "NOT":
		return !m.parts[0].holds(item)
	}
	v, ok := item[m.attr]
	if !ok || m.op == "exists" {
		return ok && m.op == "exists" || !ok && m.op == "<>"
	}
	low, high := v.Number.Compare(leases.Whole(m.args[0])), v.Number.Compare(leases.Whole(m.args[1]))
	return map[string]bool{
		"BETWEEN": low >= 0 && high <= 0, "IN": low == 0 || high == 0,
		"=": low == 0, "<>": low != 0, "<": low < 0, "<=": low <= 0, ">": low > 0, ">=": low >= 0,
	}[m.op]
}

// FuzzExpressions reads anything as each kind of expression: an error has a
// text, and what is read can be evaluated and leaves the item as it was.
func FuzzExpressions(f *testing.F) {
	for _, src := range []string{
		"leaseOwner = :w1 AND (size(m.l[1]) > :one OR NOT contains(#k, :sa))", "a IN (:one, :two) OR b BETWEEN :one AND :two",
		"SET a = if_not_exists(a, :one) + :one, l[9] = list_append(l, :list) REMOVE m.l[0] ADD leaseCounter :one DELETE parents :a", "a, m.l[1].y, l[2]",
	} {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src string) {
		item := testItem()
		c, err := ParseCondition(src, testScope())
		told(t, err)
		if err == nil {
			c.Holds(item)
			c.Holds(nil)
			_, err := c.KeyTerms()
			told(t, err)
		}
		u, err := ParseUpdate(src, testScope())
		told(t, err)
		if err == nil {
			got, err := u.Apply(item)
			told(t, err)
			if err == nil {
				u.Paths().Of(got)
			}
			_, err = u.Apply(leases.Item{})
			told(t, err)
		}
		p, err := ParseProjection(src, testScope())
		told(t, err)
		if err == nil {
			p.Of(item)
		}
		if !item.Equal(testItem()) {
			t.Fatal("the item was changed")
		}
	})
}

func told(t *testing.T, err error) {
	t.Helper()
	if err != nil && err.Error() == "" {
		t.Fatal("an error without a text")
	}
}
