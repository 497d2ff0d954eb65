package holdfast

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	inventoryv1 "holdfast/inventory/v1"
)

func TestAContextThatIsCancelledCancelsTheCall(t *testing.T) {
	arrived, cancelled := make(chan bool), make(chan bool)
	fake := &fakeServer{reserve: func(ctx context.Context, _ int, _ *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		close(arrived)
		<-ctx.Done()
		close(cancelled)
		return nil, ctx.Err()
	}}
	client := fake.client(t)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-arrived; cancel() }()

	_, err := client.Reserve(ctx, lamp("r-1"))

	if !errors.Is(err, context.Canceled) || !errors.Is(err, ErrOutcomeUnknown) || status.Code(err) != codes.Canceled {
		t.Error(err)
	}
	within(t, cancelled)
	if fake.count() != 1 {
		t.Error(fake.count())
	}
}

func TestAContextThatIsCancelledInAPauseEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	fake := &fakeServer{reserve: func(context.Context, int, *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		time.AfterFunc(2*time.Second, cancel) // the answer has come by then, and the pause is far longer
		return nil, failure(codes.ResourceExhausted, "OVERLOADED", after(2*time.Minute))
	}}
	begun := time.Now()

	_, err := fake.client(t, WithRetryPolicy(patient())).Reserve(ctx, lamp("r-1"))

	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) || time.Since(begun) > time.Minute {
		t.Error(err, time.Since(begun))
	}
}

func TestTheContextsDeadlineIsKept(t *testing.T) {
	fake := &fakeServer{reserve: func(ctx context.Context, _ int, _ *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second) // the call has been sent by then
	defer cancel()
	begun := time.Now()

	_, err := fake.client(t, WithRetryPolicy(patient())).Reserve(ctx, lamp("r-1"))

	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, ErrOutcomeUnknown) || time.Since(begun) > time.Minute {
		t.Error(err, time.Since(begun))
	}
}

func TestAContextThatHasEndedSendsNothing(t *testing.T) {
	fake := &fakeServer{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()

	_, err := fake.client(t).Reserve(ctx, lamp("r-1"))

	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrOutcomeUnknown) || fake.count() != 0 {
		t.Error(err)
	}
}
