package holdfast

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	inventoryv1 "holdfast/inventory/v1"
)

type serverStream = grpc.BidiStreamingServer[inventoryv1.StreamReserveRequest, inventoryv1.StreamReserveResponse]

// sendAll returns a closed channel of these requests.
func sendAll(requests []*inventoryv1.ReserveRequest) <-chan *inventoryv1.ReserveRequest {
	channel := make(chan *inventoryv1.ReserveRequest, len(requests))
	for _, request := range requests {
		channel <- request
	}
	close(channel)
	return channel
}

// answerAll answers until the caller has half-closed; `result` may be nil for a request that gets no answer.
func answerAll(stream serverStream, result func(*inventoryv1.ReserveRequest) *inventoryv1.ReserveResult) error {
	for {
		asked, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if answer := result(asked.Request); answer != nil {
			_ = stream.Send(&inventoryv1.StreamReserveResponse{CorrelationId: asked.CorrelationId, Result: answer})
		}
	}
}

// collect returns the results of all requests by id; each has one.
func collect(t *testing.T, client *Client, ctx context.Context, requests <-chan *inventoryv1.ReserveRequest) map[string]Result {
	t.Helper()
	results := map[string]Result{}
	for request, result := range client.StreamReserve(ctx, requests) {
		if _, twice := results[request.ReservationId]; twice {
			t.Errorf("%s has two results", request.ReservationId)
		}
		results[request.ReservationId] = result
	}
	return results
}

func TestAStreamAnswersEveryRequest(t *testing.T) {
	ended := make(chan error, 1)
	fake := &fakeServer{stream: func(_ int, stream serverStream) error {
		err := answerAll(stream, heldResult)
		ended <- err
		return err
	}}

	results := collect(t, fake.client(t), context.Background(), sendAll(lamps(1000)))

	for id, result := range results {
		if result.Err != nil || result.Outcome.Reservation.ReservationId != id {
			t.Error(id, result)
		}
	}
	if err := <-ended; err != nil || len(results) != 1000 || fake.count() != 1 {
		t.Error(err, len(results), fake.count())
	}
}

func TestWhatAServerThatStopsHasNotAnsweredGoesOnAtAnother(t *testing.T) {
	var judged atomic.Int32
	fake := &fakeServer{stream: func(attempt int, stream serverStream) error {
		if attempt == 1 {
			for range 5 {
				asked, _ := stream.Recv()
				judged.Add(1)
				_ = stream.Send(&inventoryv1.StreamReserveResponse{CorrelationId: asked.CorrelationId, Result: heldResult(asked.Request)})
			}
			return failure(codes.Unavailable, "SERVER_DRAINING", after(time.Millisecond))
		}
		return answerAll(stream, func(request *inventoryv1.ReserveRequest) *inventoryv1.ReserveResult {
			judged.Add(1)
			return heldResult(request)
		})
	}}

	results := collect(t, fake.client(t), context.Background(), sendAll(lamps(300)))

	if len(results) != 300 || judged.Load() != 300 || fake.count() != 2 {
		t.Error(len(results), judged.Load(), fake.count())
	}
	for id, result := range results {
		if result.Err != nil {
			t.Error(id, result)
		}
	}
}

func TestARequestThatCouldNotBeJudgedIsSentAgain(t *testing.T) {
	var asked atomic.Int32
	fake := &fakeServer{stream: func(_ int, stream serverStream) error {
		return answerAll(stream, func(request *inventoryv1.ReserveRequest) *inventoryv1.ReserveResult {
			if request.ReservationId == "r-1" && asked.Add(1) < 3 {
				return failedResult(failure(codes.Unavailable, "STORE_UNREACHABLE"))
			}
			if request.ReservationId == "r-2" {
				return failedResult(failure(codes.NotFound, "SALE_NOT_FOUND"))
			}
			return heldResult(request)
		})
	}}

	results := collect(t, fake.client(t), context.Background(), sendAll(lamps(3)))

	if len(results) != 3 || !results["r-1"].Outcome.Held() || !errors.Is(results["r-2"].Err, ErrNotFound) || asked.Load() != 3 {
		t.Error(results, asked.Load())
	}
}

func TestAStreamThatIsRefusedGivesUpWhatWasTaken(t *testing.T) {
	fake := &fakeServer{stream: func(int, serverStream) error { return failure(codes.Unauthenticated, "TOKEN_INVALID") }}

	results := collect(t, fake.client(t), context.Background(), sendAll(lamps(600)))

	if len(results) != 600 {
		t.Error(len(results))
	}
	for id, result := range results {
		var failed *Error
		if !errors.As(result.Err, &failed) || failed.kind != ErrNotAllowed || failed.OutcomeUnknown || failed.IDs["reservation_id"] != id {
			t.Error(id, result)
		}
	}
}

func TestAStreamThatStaysLostIsUnknownForWhatWasSent(t *testing.T) {
	fake := &fakeServer{stream: func(attempt int, stream serverStream) error {
		if attempt == 1 {
			_, _ = stream.Recv()
			return status.Error(codes.Internal, "cut off")
		}
		return failure(codes.Unavailable, "SERVER_DRAINING")
	}}
	requests := make(chan *inventoryv1.ReserveRequest, 1)
	requests <- lamp("r-0")
	go func() {
		defer close(requests)
		for begun := time.Now(); fake.count() < 2 && time.Since(begun) < 10*time.Second; {
			time.Sleep(time.Millisecond)
		}
		requests <- lamp("r-1")
	}()

	results := collect(t, fake.client(t, WithRetryPolicy(short())), context.Background(), requests)

	if !errors.Is(results["r-0"].Err, ErrOutcomeUnknown) {
		t.Error(results["r-0"].Err)
	}
	if !errors.Is(results["r-1"].Err, ErrTryLater) || errors.Is(results["r-1"].Err, ErrOutcomeUnknown) {
		t.Error(results["r-1"].Err)
	}
}

func TestAServerThatAnswersNothingIsLeft(t *testing.T) {
	fake := &fakeServer{stream: func(attempt int, stream serverStream) error {
		return answerAll(stream, func(request *inventoryv1.ReserveRequest) *inventoryv1.ReserveResult {
			if attempt == 1 && request.ReservationId == "r-1" {
				return nil
			}
			return heldResult(request)
		})
	}}
	policy := quick()
	policy.Attempt, policy.LedgerAttempt = 10*time.Millisecond, 10*time.Millisecond

	results := collect(t, fake.client(t, WithRetryPolicy(policy)), context.Background(), sendAll(lamps(2)))

	if !results["r-1"].Outcome.Held() || fake.count() != 2 {
		t.Error(results, fake.count())
	}
}

func TestAContextThatEndsGivesEveryTakenRequestAResult(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var seen atomic.Int32
	fake := &fakeServer{stream: func(_ int, stream serverStream) error {
		return answerAll(stream, func(request *inventoryv1.ReserveRequest) *inventoryv1.ReserveResult {
			if seen.Add(1) == 10 {
				cancel()
			}
			return nil
		})
	}}
	requests := make(chan *inventoryv1.ReserveRequest, 10)
	for _, request := range lamps(10) {
		requests <- request
	}

	results := collect(t, fake.client(t), ctx, requests)

	if len(results) != 10 {
		t.Error(len(results))
	}
	for id, result := range results {
		if !errors.Is(result.Err, context.Canceled) || !errors.Is(result.Err, ErrOutcomeUnknown) {
			t.Error(id, result.Err)
		}
	}
}

func TestNoMoreIsTakenThanTheWindowHas(t *testing.T) {
	stop := make(chan bool)
	fake := &fakeServer{stream: func(_ int, stream serverStream) error {
		<-stop
		return answerAll(stream, heldResult)
	}}
	requests := make(chan *inventoryv1.ReserveRequest)
	taken := 0
	go func() {
		defer close(requests)
		for _, request := range lamps(window + 50) {
			select {
			case requests <- request:
				taken++
			case <-time.After(500 * time.Millisecond): // the window is full
				if taken != window {
					t.Errorf("%d were taken", taken)
				}
				close(stop)
				requests <- request
			}
		}
	}()

	if results := collect(t, fake.client(t), context.Background(), requests); len(results) != window+50 {
		t.Error(len(results))
	}
}

func TestLeavingTheLoopEndsTheStream(t *testing.T) {
	ended := make(chan error, 1)
	fake := &fakeServer{stream: func(_ int, stream serverStream) error {
		err := answerAll(stream, heldResult)
		ended <- err
		return err
	}}
	requests := make(chan *inventoryv1.ReserveRequest, 3)
	for _, request := range lamps(3) {
		requests <- request
	}

	for range fake.client(t).StreamReserve(context.Background(), requests) {
		break
	}

	if err := <-ended; err == nil {
		t.Error("the stream was closed in order, and not cancelled")
	}
}

func TestAStreamsTokenMustBeThere(t *testing.T) {
	fake := &fakeServer{}
	client := fake.client(t, WithToken(func(context.Context) (string, error) { return "", errors.New("locked") }))

	results := collect(t, client, context.Background(), sendAll(lamps(2)))

	if len(results) != 2 || !errors.Is(results["r-0"].Err, ErrTokenUnavailable) || errors.Is(results["r-0"].Err, ErrOutcomeUnknown) {
		t.Error(results)
	}
	if fake.count() != 0 {
		t.Error(fmt.Sprint(fake.count(), " streams"))
	}
}
