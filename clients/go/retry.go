package holdfast

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// A server refuses a call with less than half of it left, which would hide the error before.
	shortestAttempt = 20 * time.Millisecond
	// For how long a budget keeps what is not spent.
	burst = 10 * time.Second
	// Of how many calls one may be repeated once the budget is spent.
	callsPerRepeat = 10
)

// RetryPolicy limits the repeats of one call, and of all calls of a client. A context that ends before ends the call.
type RetryPolicy struct {
	Overall          time.Duration // from the first attempt to giving up
	Attempt          time.Duration // the deadline of one attempt, cut to what is left of the whole
	LedgerAttempt    time.Duration // the same, if it is longer, of calls for which the server may ask the ledger
	Audit            time.Duration // from the first attempt of an audit to giving up; a server takes no longer
	FirstDelay       time.Duration
	LongestDelay     time.Duration
	RepeatsPerSecond float64 // of all calls together; beyond these, a call in ten is repeated
}

// DefaultRetryPolicy is what a client has that is given no other.
func DefaultRetryPolicy() RetryPolicy {
	return RetryPolicy{
		Overall:          10 * time.Second,
		Attempt:          2 * time.Second,
		LedgerAttempt:    5 * time.Second,
		Audit:            290 * time.Second,
		FirstDelay:       50 * time.Millisecond,
		LongestDelay:     2 * time.Second,
		RepeatsPerSecond: 10,
	}
}

func (p RetryPolicy) ledgerAttempt() time.Duration { return max(p.Attempt, p.LedgerAttempt) }

// retryBudget counts the repeats that the calls of a client have left, so that a server that is slow is not asked ever
// more. It is kept in calls, a tenth of a repeat each.
type retryBudget struct {
	mutex     sync.Mutex
	perSecond float64
	left      float64
	most      float64
	filledAt  time.Time
	now       func() time.Time
}

func newRetryBudget(repeatsPerSecond float64) *retryBudget {
	perSecond := repeatsPerSecond * callsPerRepeat
	left := perSecond * burst.Seconds()
	return &retryBudget{perSecond: perSecond, left: left, most: max(callsPerRepeat, left), filledAt: time.Now(), now: time.Now}
}

func (b *retryBudget) addCall() {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	b.left = min(b.most, b.left+1)
}

// take says whether one more repeat may be made now, and counts it.
func (b *retryBudget) take() bool {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	now := b.now()
	b.left = min(b.most, b.left+now.Sub(b.filledAt).Seconds()*b.perSecond)
	b.filledAt = now
	if b.left < callsPerRepeat {
		return false
	}
	b.left -= callsPerRepeat
	return true
}

// doubt is whether an attempt that has ended may have done what is asked.
type doubt bool

// add counts an attempt that ended so, and tells its error what is known now: one with an unknown outcome makes that of
// the whole call unknown, unless a later one was judged, since a repeat is told how the matter stands.
func (d *doubt) add(failed *Error) {
	*d = doubt(failed.OutcomeUnknown || bool(*d) && !failed.judged())
	failed.OutcomeUnknown = bool(*d)
}

// attempts are those of one call: their deadlines, and the delays between them.
type attempts struct {
	policy  RetryPolicy
	budget  *retryBudget // nil: these repeats need none
	attempt time.Duration
	endsAt  time.Time
	delay   time.Duration
	doubt   doubt
}

func newAttempts(ctx context.Context, policy RetryPolicy, budget *retryBudget, attempt time.Duration) *attempts {
	endsAt := time.Now().Add(policy.Overall)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(endsAt) {
		endsAt = deadline
	}
	if budget != nil {
		budget.addCall()
	}
	return &attempts{policy: policy, budget: budget, attempt: attempt, endsAt: endsAt, delay: policy.FirstDelay}
}

func (a *attempts) areOver() bool { return time.Until(a.endsAt) <= 0 }

// timeout is that of the attempt which begins now.
func (a *attempts) timeout() time.Duration {
	return max(time.Millisecond, min(a.attempt, time.Until(a.endsAt)))
}

// delayAfter returns how long to wait before the next attempt, and whether there is one. The pause that the server asks
// for is a minimum: the jittered delay comes on top, so that clients that failed together do not return together.
func (a *attempts) delayAfter(failed *Error) (time.Duration, bool) {
	a.doubt.add(failed)
	delay := failed.RetryAfter + time.Duration(float64(a.delay)*(0.5+rand.Float64()/2))
	if !failed.repeatable() || delay+shortestAttempt > time.Until(a.endsAt) || a.budget != nil && !a.budget.take() {
		return 0, false
	}
	a.delay = min(2*a.delay, a.policy.LongestDelay)
	return delay, true
}

// sleep returns false if the context ends before.
func sleep(ctx context.Context, delay time.Duration) bool {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
