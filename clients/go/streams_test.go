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
	if err := within(t, ended); err != nil || len(results) != 1000 || fake.count() != 1 {
		t.Error(err, len(results), fake.count())
	}
}

func TestWhatAServerThatStopsHasNotAnsweredGoesOnAtAnother(t *testing.T) {
	const pause = 100 * time.Millisecond
	var judged atomic.Int32
	judge := func(request *inventoryv1.ReserveRequest) *inventoryv1.ReserveResult {
		judged.Add(1)
		return heldResult(request)
	}
	fake := &fakeServer{stream: func(_ int, stream serverStream) error {
		for range 5 {
			asked, _ := stream.Recv()
			_ = stream.Send(&inventoryv1.StreamReserveResponse{CorrelationId: asked.CorrelationId, Result: judge(asked.Request)})
		}
		return failure(codes.Unavailable, "SERVER_DRAINING", after(pause))
	}}
	another := &fakeServer{stream: func(_ int, stream serverStream) error { return answerAll(stream, judge) }}
	client := fake.client(t)
	client.stubs = []stubs{another.client(t).stubs[0], client.stubs[0]} // the second is the first to be asked

	results := collect(t, client, context.Background(), sendAll(lamps(300)))

	if len(results) != 300 || judged.Load() != 300 || fake.count() != 1 || another.count() != 1 {
		t.Error(len(results), judged.Load(), fake.count(), another.count())
	}
	if waited := another.times[0].Sub(fake.times[0]); waited < pause {
		t.Errorf("the other was asked after %v", waited)
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
		for begun := time.Now(); fake.count() < 2 && time.Since(begun) < 30*time.Second; {
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

func TestThePatienceIsThatOfEachRequest(t *testing.T) {
	fake := &fakeServer{stream: func(_ int, stream serverStream) error {
		for { // answers one, and never the first of all
			asked, err := stream.Recv()
			if err != nil {
				return err
			}
			if asked.Request.ReservationId != "r-0" {
				_ = stream.Send(&inventoryv1.StreamReserveResponse{CorrelationId: asked.CorrelationId, Result: heldResult(asked.Request)})
				return failure(codes.Unavailable, "SERVER_DRAINING")
			}
		}
	}}
	requests, ended, begun := make(chan *inventoryv1.ReserveRequest), make(chan bool), time.Now()
	go func() {
		defer close(requests)
		requests <- lamp("r-0")
		for number := 1; time.Since(begun) < 60*time.Second; number++ {
			select {
			case <-ended:
				return
			case <-time.After(20 * time.Millisecond):
				requests <- lamp(fmt.Sprint("r-", number))
			}
		}
	}()

	for request, result := range fake.client(t, WithRetryPolicy(short())).StreamReserve(context.Background(), requests) {
		if request.ReservationId != "r-0" {
			if result.Err != nil {
				t.Error(request.ReservationId, result.Err)
			}
			continue
		}
		if time.Since(begun) > 30*time.Second || !errors.Is(result.Err, ErrTryLater) {
			t.Error(result.Err, time.Since(begun))
		}
		close(ended)
	}
}

func TestThePatienceForAStreamBeginsAnewWithEachAnswer(t *testing.T) {
	fake := &fakeServer{stream: func(_ int, stream serverStream) error { // answers one, and is cut off at the next
		asked, err := stream.Recv()
		if err != nil {
			return err
		}
		_ = stream.Send(&inventoryv1.StreamReserveResponse{CorrelationId: asked.CorrelationId, Result: heldResult(asked.Request)})
		if _, err = stream.Recv(); err == io.EOF {
			return nil
		}
		return failure(codes.Unavailable, "SERVER_DRAINING")
	}}
	policy := short()
	requests := make(chan *inventoryv1.ReserveRequest)
	go func() {
		defer close(requests)
		for number, begun := 0, time.Now(); time.Since(begun) < 3*policy.Overall; number += 2 {
			requests <- lamp(fmt.Sprint("r-", number))
			requests <- lamp(fmt.Sprint("r-", number+1))
			time.Sleep(20 * time.Millisecond)
		}
	}()

	for id, result := range collect(t, fake.client(t, WithRetryPolicy(policy)), context.Background(), requests) {
		if result.Err != nil {
			t.Error(id, result.Err)
		}
	}
}

func TestTheLoopMayBeLeftWhenMuchIsGivenUp(t *testing.T) {
	fake := &fakeServer{stream: func(_ int, stream serverStream) error {
		for range 5 {
			_, _ = stream.Recv()
		}
		return failure(codes.Unauthenticated, "TOKEN_REVOKED")
	}}
	results := 0

	for range fake.client(t).StreamReserve(context.Background(), sendAll(lamps(5))) {
		results++
		break
	}

	if results != 1 {
		t.Error(results)
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

	if !results["r-1"].Outcome.Held() || fake.count() < 2 {
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
	requests, takenAtFirst := make(chan *inventoryv1.ReserveRequest), make(chan int, 1)
	go func() {
		defer close(requests)
		taken := 0
		full := time.AfterFunc(20*time.Second, func() { close(stop) })
		for _, request := range lamps(window + 50) {
			requests <- request
			select {
			case <-stop:
			default:
				if taken++; taken == window {
					full.Reset(500 * time.Millisecond) // in which one more could be taken
				}
			}
		}
		if full.Stop() {
			close(stop)
		}
		takenAtFirst <- taken
	}()

	results := collect(t, fake.client(t), context.Background(), requests)

	if taken := within(t, takenAtFirst); len(results) != window+50 || taken != window {
		t.Errorf("%d results, and %d were taken before the first", len(results), taken)
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

	if err := within(t, ended); err == nil {
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
