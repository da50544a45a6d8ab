package buffer

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestClosed(t *testing.T) {
	t0 := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hints := Hints{Bytes: 100, Records: 10, Interval: time.Minute}
	for _, tt := range []struct {
		name    string
		hints   Hints
		records int64
		bytes   int64
		age     time.Duration
		want    Reason
	}{
		{"empty never closes", hints, 0, 0, time.Hour, Open},
		{"one byte short", hints, 1, 99, 0, Open},
		{"exactly the size", hints, 1, 100, 0, Size},
		{"over the size", hints, 1, 1000, 0, Size},
		{"exactly the count", hints, 10, 10, 0, Count},
		{"a moment before the interval", hints, 1, 1, time.Minute - 1, Open},
		{"the interval", hints, 1, 1, time.Minute, Interval},
		{"interval 0 closes at once", Hints{Bytes: 100}, 1, 1, 0, Interval},
		{"no size limit", Hints{Interval: time.Minute}, 1 << 40, 1 << 60, 0, Open},
		{"clock went back", hints, 1, 1, -time.Hour, Open},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := New(tt.hints)
			b.Add(tt.records, tt.bytes, t0)
			if got := b.Closed(t0.Add(tt.age)); got != tt.want {
				t.Errorf("Closed = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOldestCounts(t *testing.T) {
	t0 := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	b := New(Hints{Interval: time.Minute})
	if _, ok := b.Deadline(); ok {
		t.Fatal("an empty buffer has a deadline")
	}
	b.Add(1, 5, t0)
	b.Add(1, 5, t0.Add(-30*time.Second))
	b.Add(0, 0, t0.Add(-time.Hour)) // nothing was added: nothing waits
	if at, _ := b.Deadline(); !at.Equal(t0.Add(30 * time.Second)) {
		t.Errorf("Deadline = %v, want that of the older record", at)
	}
	b.Reset()
	if b.Bytes() != 0 || b.Records() != 0 || b.Closed(t0.Add(time.Hour)) != Open {
		t.Error("Reset left something behind")
	}
}

func TestRoom(t *testing.T) {
	b := New(Hints{Bytes: 10, Records: 2})
	b.Add(1, 25, time.Time{})
	if r, n := b.Room(); r != 1 || n != 0 {
		t.Errorf("Room = %d, %d; want 1, 0", r, n)
	}
	if r, n := New(Hints{}).Room(); r != -1 || n != -1 {
		t.Errorf("Room without limits = %d, %d; want -1, -1", r, n)
	}
}

func TestBudgetWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(10)
		release, err := b.Acquire(t.Context(), 8)
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan struct{})
		go func() {
			defer close(got)
			r, err := b.Acquire(t.Context(), 100) // more than all: waits for all
			if err != nil {
				t.Error(err)
				return
			}
			if b.Used() != 10 {
				t.Errorf("Used = %d, want the whole budget", b.Used())
			}
			r()
		}()
		synctest.Wait()
		select {
		case <-got:
			t.Fatal("got more than was free")
		default:
		}
		release()
		<-got
		if b.Used() != 0 {
			t.Errorf("Used = %d after all was given back", b.Used())
		}
	})
}

func TestBudgetGivesUpWithContext(t *testing.T) {
	b := NewBudget(1)
	release, err := b.Acquire(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Acquire(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Fatalf("Acquire after cancel: %v, want context.Canceled", err)
	}
}
