package dynamodb

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/firehosed/firehosed/api/wire"
)

func TestTokens(t *testing.T) {
	var memory tokens
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	one, two := [32]byte{1}, [32]byte{2}
	begin := func(token string, sum [32]byte, code string) *transaction {
		t.Helper()
		x, err := memory.begin(token, sum, now)
		var answer *wire.Error
		if code == "" && err != nil || code != "" && (!errors.As(err, &answer) || answer.Code != code) {
			t.Errorf("begin %s: %v, want code %q", token, err, code)
		}
		return x
	}
	a := begin("a", one, "")
	begin("a", one, "TransactionInProgressException")
	memory.end(a, true)
	if x := begin("a", one, ""); x != nil {
		t.Error("a transaction that succeeded is to run again")
	}
	begin("a", two, "IdempotentParameterMismatchException")
	b := begin("b", one, "")
	memory.end(b, false)
	if b = begin("b", two, ""); b == nil {
		t.Error("a transaction that failed is taken for one that succeeded")
	}
	memory.end(b, true)
	now = now.Add(tokenLife)
	if x := begin("a", two, ""); x == nil {
		t.Error("a transaction is remembered for too long")
	}
	for i := range 3 * maxTokens {
		memory.end(begin(fmt.Sprint(i), one, ""), i%2 == 0)
	}
	if len(memory.line) > maxTokens || len(memory.seen) > maxTokens {
		t.Errorf("%d transactions are remembered, %d in line", len(memory.seen), len(memory.line))
	}
}
