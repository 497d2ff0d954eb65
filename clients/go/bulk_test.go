package holdfast

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	inventoryv1 "holdfast/inventory/v1"
)

func lamps(count int) (requests []*inventoryv1.ReserveRequest) {
	for number := range count {
		requests = append(requests, lamp(fmt.Sprint("r-", number)))
	}
	return requests
}

func heldResult(request *inventoryv1.ReserveRequest) *inventoryv1.ReserveResult {
	return &inventoryv1.ReserveResult{Result: &inventoryv1.ReserveResult_Response{Response: heldAnswer(request)}}
}

func failedResult(failed error) *inventoryv1.ReserveResult {
	return &inventoryv1.ReserveResult{Result: &inventoryv1.ReserveResult_Status{Status: status.Convert(failed).Proto()}}
}

func idsIn(batch *inventoryv1.BatchReserveRequest) string {
	var ids []string
	for _, request := range batch.Requests {
		ids = append(ids, request.ReservationId)
	}
	return strings.Join(ids, " ")
}

func TestOnlyWhatCouldNotBeJudgedIsSentAgain(t *testing.T) {
	var batches []string
	fake := &fakeServer{batch: func(attempt int, batch *inventoryv1.BatchReserveRequest) (*inventoryv1.BatchReserveResponse, error) {
		batches = append(batches, idsIn(batch))
		response := &inventoryv1.BatchReserveResponse{}
		for _, request := range batch.Requests {
			result := heldResult(request)
			if request.ReservationId == "r-1" {
				result = failedResult(failure(codes.NotFound, "SALE_NOT_FOUND"))
			} else if request.ReservationId == "r-2" && attempt == 1 {
				result = failedResult(failure(codes.Unavailable, "SHARD_NOT_SERVING"))
			}
			response.Results = append(response.Results, result)
		}
		return response, nil
	}}

	results := fake.client(t).BatchReserve(context.Background(), lamps(3))

	if got := strings.Join(batches, ", "); got != "r-0 r-1 r-2, r-2" {
		t.Error(got)
	}
	for number, result := range results {
		if number != 1 && (result.Err != nil || result.Outcome.Reservation.ReservationId != fmt.Sprint("r-", number)) {
			t.Error(number, result)
		}
	}
	var failed *Error
	if !errors.As(results[1].Err, &failed) || !errors.Is(failed, ErrNotFound) || failed.IDs["reservation_id"] != "r-1" {
		t.Error(results[1])
	}
}

func TestABatchThatFailsAsAWholeFailsEachRequest(t *testing.T) {
	fake := &fakeServer{batch: func(int, *inventoryv1.BatchReserveRequest) (*inventoryv1.BatchReserveResponse, error) {
		return nil, failure(codes.PermissionDenied, "SCOPE_MISSING")
	}}

	results := fake.client(t).BatchReserve(context.Background(), lamps(2))

	for number, result := range results {
		var failed *Error
		if !errors.As(result.Err, &failed) || failed.kind != ErrNotAllowed || failed.IDs["reservation_id"] != fmt.Sprint("r-", number) {
			t.Error(result)
		}
	}
	if len(results) != 2 || fake.count() != 1 {
		t.Error(results, fake.count())
	}
}

func TestAnUnknownOutcomeStaysWithItsRequest(t *testing.T) {
	fake := &fakeServer{batch: func(attempt int, batch *inventoryv1.BatchReserveRequest) (*inventoryv1.BatchReserveResponse, error) {
		if attempt == 1 {
			return &inventoryv1.BatchReserveResponse{Results: []*inventoryv1.ReserveResult{
				failedResult(failure(codes.Unavailable, "OUTCOME_UNKNOWN")), failedResult(failure(codes.ResourceExhausted, "OVERLOADED")),
			}}, nil
		}
		return nil, failure(codes.Unavailable, "STORE_UNREACHABLE")
	}}

	results := fake.client(t, WithRetryPolicy(short())).BatchReserve(context.Background(), lamps(2))

	if !errors.Is(results[0].Err, ErrOutcomeUnknown) || errors.Is(results[1].Err, ErrOutcomeUnknown) {
		t.Error(results)
	}
}

func TestARequestWithoutResultIsUnknown(t *testing.T) {
	fake := &fakeServer{batch: func(_ int, batch *inventoryv1.BatchReserveRequest) (*inventoryv1.BatchReserveResponse, error) {
		return &inventoryv1.BatchReserveResponse{Results: []*inventoryv1.ReserveResult{heldResult(batch.Requests[0]), {}}}, nil
	}}

	results := fake.client(t).BatchReserve(context.Background(), lamps(3))

	if results[0].Err != nil || !errors.Is(results[1].Err, ErrOutcomeUnknown) || !errors.Is(results[2].Err, ErrOutcomeUnknown) {
		t.Error(results)
	}
}

func TestManyRequestsAreSentInSeveralCalls(t *testing.T) {
	var sizes []int
	fake := &fakeServer{batch: func(_ int, batch *inventoryv1.BatchReserveRequest) (*inventoryv1.BatchReserveResponse, error) {
		sizes = append(sizes, len(batch.Requests))
		response := &inventoryv1.BatchReserveResponse{}
		for _, request := range batch.Requests {
			response.Results = append(response.Results, heldResult(request))
		}
		return response, nil
	}}

	results := fake.client(t).BatchReserve(context.Background(), lamps(1001))

	if fmt.Sprint(sizes) != "[500 500 1]" || results[1000].Outcome.Reservation.ReservationId != "r-1000" {
		t.Error(sizes, results[1000])
	}
	if none := fake.client(t).BatchReserve(context.Background(), nil); len(none) != 0 || len(sizes) != 3 {
		t.Error(none, sizes)
	}
}
