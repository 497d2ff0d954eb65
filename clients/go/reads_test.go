package holdfast

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	inventoryv1 "holdfast/inventory/v1"
)

type saleStream = grpc.ServerStreamingServer[inventoryv1.WatchSaleResponse]

var lampSale = &inventoryv1.WatchSaleRequest{SaleId: "lamps"}

func sendSale(stream saleStream, title string) {
	_ = stream.Send(&inventoryv1.WatchSaleResponse{Sale: &inventoryv1.Sale{Title: title}})
}

// titles returns what a watch sent, and the error that ended it.
func titles(ctx context.Context, client *Client) (seen []string, ended error) {
	for message, err := range client.WatchSale(ctx, lampSale) {
		if err != nil {
			return seen, err
		}
		seen = append(seen, message.Sale.Title)
	}
	return seen, nil
}

func TestAWatchGoesOnAtAnotherServer(t *testing.T) {
	fake := &fakeServer{watch: func(attempt int, stream saleStream) error {
		switch sendSale(stream, fmt.Sprint("of server ", attempt)); attempt {
		case 1:
			return failure(codes.Unavailable, "SERVER_DRAINING", after(time.Millisecond))
		case 2:
			return status.Error(codes.Unavailable, "cut off")
		}
		return nil
	}}

	seen, err := titles(context.Background(), fake.client(t))

	if err != nil || fmt.Sprint(seen) != "[of server 1 of server 2 of server 3]" {
		t.Error(seen, err)
	}
}

func TestAWatchOfNothingFails(t *testing.T) {
	fake := &fakeServer{watch: func(int, saleStream) error { return failure(codes.NotFound, "SALE_NOT_FOUND") }}

	if _, err := titles(context.Background(), fake.client(t)); !errors.Is(err, ErrNotFound) || fake.count() != 1 {
		t.Error(err, fake.count())
	}
}

func TestAWatchOutlastsNoPatience(t *testing.T) {
	fake := &fakeServer{watch: func(attempt int, stream saleStream) error {
		if attempt == 1 {
			sendSale(stream, "once")
		}
		return failure(codes.Unavailable, "OUTCOME_UNKNOWN")
	}}

	seen, err := titles(context.Background(), fake.client(t, WithRetryPolicy(short())))

	if !errors.Is(err, ErrTryLater) || errors.Is(err, ErrOutcomeUnknown) || len(seen) != 1 || fake.count() < 2 {
		t.Error(seen, err, fake.count())
	}
}

func TestThePatienceOfAWatchBeginsAnewWithEachMessage(t *testing.T) {
	policy := short()
	fake := &fakeServer{watch: func(attempt int, stream saleStream) error {
		sendSale(stream, fmt.Sprint(attempt))
		if attempt == 3 {
			return nil
		}
		time.Sleep(policy.Overall)
		return status.Error(codes.Unavailable, "cut off")
	}}

	if seen, err := titles(context.Background(), fake.client(t, WithRetryPolicy(policy))); err != nil || fmt.Sprint(seen) != "[1 2 3]" {
		t.Error(seen, err)
	}
}

func TestAWatchLeavesAServerThatSendsNothing(t *testing.T) {
	fake := &fakeServer{watch: func(attempt int, stream saleStream) error {
		if attempt == 1 {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
		sendSale(stream, "second")
		return nil
	}}
	policy := quick()
	policy.Attempt, policy.LedgerAttempt = 100*time.Millisecond, 100*time.Millisecond

	if seen, err := titles(context.Background(), fake.client(t, WithRetryPolicy(policy))); err != nil || fmt.Sprint(seen) != "[second]" {
		t.Error(seen, err)
	}
}

func TestAWatchLeavesAServerThatFallsSilent(t *testing.T) {
	fake := &fakeServer{watch: func(attempt int, stream saleStream) error {
		if attempt == 1 {
			sendSale(stream, "one")
			<-stream.Context().Done()
		}
		sendSale(stream, "of another")
		return nil
	}}
	var seen []string

	for message, err := range watch(context.Background(), fake.client(t), stubs.WatchSale, lampSale, time.Second) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, message.Sale.Title)
	}

	if fmt.Sprint(seen) != "[one of another]" {
		t.Error(seen)
	}
}

func TestTheCallerOfAWatchMayTakeItsTime(t *testing.T) {
	fake := &fakeServer{watch: func(_ int, stream saleStream) error {
		sendSale(stream, "a")
		sendSale(stream, "b")
		time.Sleep(2250 * time.Millisecond)
		sendSale(stream, "c")
		return stream.Context().Err()
	}}
	var seen []string

	for message, err := range watch(context.Background(), fake.client(t), stubs.WatchSale, lampSale, time.Second) {
		if err != nil {
			t.Fatal(err)
		}
		if seen = append(seen, message.Sale.Title); message.Sale.Title == "b" {
			time.Sleep(2500 * time.Millisecond)
		}
	}

	if fmt.Sprint(seen) != "[a b c]" || fake.count() != 1 {
		t.Error(seen, fake.count())
	}
}

func TestLeavingTheLoopEndsTheWatch(t *testing.T) {
	ended := make(chan bool)
	fake := &fakeServer{watch: func(_ int, stream saleStream) error {
		sendSale(stream, "one")
		<-stream.Context().Done()
		close(ended)
		return nil
	}}

	for range fake.client(t).WatchSale(context.Background(), lampSale) {
		break
	}

	within(t, ended)
}

func TestAContextThatEndsEndsTheWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	fake := &fakeServer{watch: func(_ int, stream saleStream) error {
		sendSale(stream, "one")
		cancel()
		<-stream.Context().Done()
		return nil
	}}

	if _, err := titles(ctx, fake.client(t)); !errors.Is(err, context.Canceled) || fake.count() != 1 {
		t.Error(err)
	}
}

func TestAListReadsItsPagesAsTheyAreNeeded(t *testing.T) {
	var asked []string
	pages := map[string]*inventoryv1.ListSalesResponse{
		"first": {Sales: []*inventoryv1.Sale{{SaleId: "a"}, {SaleId: "b"}}, NextPageToken: "empty"},
		"empty": {NextPageToken: "last"},
		"last":  {Sales: []*inventoryv1.Sale{{SaleId: "c"}}},
	}
	fake := &fakeServer{sales: func(request *inventoryv1.ListSalesRequest) (*inventoryv1.ListSalesResponse, error) {
		asked = append(asked, fmt.Sprint(request.PageToken, " ", request.PageSize))
		return pages[request.PageToken], nil
	}}
	client, request := fake.client(t), &inventoryv1.ListSalesRequest{PageSize: 2, PageToken: "first"}
	var seen []string

	for sale, err := range client.Sales(context.Background(), request) {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, sale.SaleId)
	}
	for range client.Sales(context.Background(), request) {
		break
	}

	if fmt.Sprint(seen) != "[a b c]" || fmt.Sprint(asked) != "[first 2 empty 2 last 2 first 2]" {
		t.Error(seen, asked)
	}
	if !proto.Equal(request, &inventoryv1.ListSalesRequest{PageSize: 2, PageToken: "first"}) {
		t.Error("the caller's request was changed")
	}
}

func TestAnErrorEndsAList(t *testing.T) {
	fake := &fakeServer{sales: func(request *inventoryv1.ListSalesRequest) (*inventoryv1.ListSalesResponse, error) {
		if request.PageToken != "" {
			return nil, failure(codes.InvalidArgument, "FIELD_OUT_OF_BOUNDS")
		}
		return &inventoryv1.ListSalesResponse{Sales: []*inventoryv1.Sale{{SaleId: "a"}}, NextPageToken: "bad"}, nil
	}}
	var seen []string
	var ended error

	for sale, err := range fake.client(t).Sales(context.Background(), &inventoryv1.ListSalesRequest{}) {
		if ended = err; err == nil {
			seen = append(seen, sale.SaleId)
		}
	}

	if fmt.Sprint(seen) != "[a]" || !errors.Is(ended, ErrInvalidRequest) {
		t.Error(seen, ended)
	}
}
