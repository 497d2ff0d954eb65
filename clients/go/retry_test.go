package holdfast

import (
	"context"
	"testing"
	"time"
)

func TestABudgetAllowsSomeRepeatsASecondAndOneForTenCalls(t *testing.T) {
	now := time.Now()
	budget := newRetryBudget(2)
	budget.now, budget.filledAt = func() time.Time { return now }, now
	takeAll := func() (taken int) {
		for budget.take() {
			taken++
		}
		return taken
	}

	if got := takeAll(); got != 20 {
		t.Errorf("%d of ten seconds", got)
	}
	now = now.Add(1500 * time.Millisecond)
	if got := takeAll(); got != 3 {
		t.Errorf("%d of one second and a half", got)
	}
	for range 25 {
		budget.addCall()
	}
	if got := takeAll(); got != 2 {
		t.Errorf("%d of 25 calls", got)
	}
	now = now.Add(time.Hour)
	if got := takeAll(); got != 20 {
		t.Errorf("%d of an hour", got)
	}
}

func TestACallWithoutBudgetIsNotRepeated(t *testing.T) {
	budget := newRetryBudget(0)
	later := &Error{kind: ErrTryLater}

	for call := 1; call <= 10; call++ {
		tries := newAttempts(context.Background(), DefaultRetryPolicy(), budget, time.Second)
		if _, again := tries.delayAfter(later); again != (call == 10) {
			t.Errorf("call %d: %v", call, again)
		}
	}
}

func TestDelaysGrowAndAreJittered(t *testing.T) {
	policy := DefaultRetryPolicy()
	policy.Overall = time.Hour
	tries := newAttempts(context.Background(), policy, nil, time.Second)
	later := &Error{kind: ErrTryLater, RetryAfter: time.Second}

	for _, most := range []time.Duration{50, 100, 200, 400, 800, 1600, 2000, 2000} {
		most *= time.Millisecond
		delay, again := tries.delayAfter(later)
		if !again || delay < time.Second+most/2 || delay > time.Second+most {
			t.Errorf("%v where it is at most %v beyond the pause", delay, most)
		}
	}
}

func TestAnAttemptIsCutToWhatIsLeft(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	if got := newAttempts(context.Background(), DefaultRetryPolicy(), nil, 2*time.Second).timeout(); got != 2*time.Second {
		t.Error(got)
	}
	if got := newAttempts(ctx, DefaultRetryPolicy(), nil, 2*time.Minute).timeout(); got > time.Minute || got < time.Millisecond {
		t.Error(got)
	}
}
