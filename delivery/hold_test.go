package delivery

import (
	"testing"
	"time"
)

func TestHeldRetention(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct{ usual, age, want time.Duration }{
		{day, 0, day},
		{day, 12 * time.Hour, day},
		{day, 12*time.Hour + 1, 2 * day},
		{day, 3 * day, 8 * day},
		{day, 10_000 * time.Hour, maxRetention},
		{maxRetention, maxRetention, maxRetention},
	} {
		if got := heldRetention(tt.usual, tt.age); got != tt.want {
			t.Errorf("heldRetention(%v, %v) = %v, want %v", tt.usual, tt.age, got, tt.want)
		}
	}
}
