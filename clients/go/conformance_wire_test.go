package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"holdfast"
	inventoryv1 "holdfast/inventory/v1"
)

// What goes over the connection, against a running server: integers, deadlines, and a server that is away.

func TestConformanceIntegersKeepTheir64Bits(t *testing.T) {
	s := openShop(t)
	sale := s.newSale(lampsAlone(1e12), func(sale *inventoryv1.Sale) { sale.BuyerLimit = 1 << 53 })
	if item := s.item(sale, "lamp"); item.Available != 1e12 {
		t.Error(item)
	}
	if found := must(s.GetSale(s.ctx, &inventoryv1.GetSaleRequest{SaleId: sale}))(t); found.Sale.BuyerLimit != 1<<53 {
		t.Error(found.Sale.BuyerLimit)
	}

	stream := must(plainStubs(t).StreamReserve(s.ctx))(t)
	for _, number := range []int64{math.MaxInt64, math.MinInt64, 1<<53 + 1} {
		request := asked(sale, fmt.Sprint("r", number), "ann", lampsAlone(1))
		if err := stream.Send(&inventoryv1.StreamReserveRequest{CorrelationId: number, Request: request}); err != nil {
			t.Fatal(err)
		}
		if answer := must(stream.Recv())(t); answer.CorrelationId != number {
			t.Error(answer)
		}
	}
}

// plainStubs are those of a channel that was told of the service config, without the client.
func plainStubs(t *testing.T) inventoryv1.InventoryServiceClient {
	channel := must(grpc.NewClient(
		address(t), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(inventoryv1.ServiceConfig),
	))(t)
	t.Cleanup(func() { _ = channel.Close() })
	return inventoryv1.NewInventoryServiceClient(channel)
}

func TestConformanceDeadlines(t *testing.T) {
	s := openShop(t)
	sale := s.newSale(lampsAlone(1))
	short, cancel := context.WithTimeout(s.ctx, 5*time.Millisecond) // a server takes no call with less than 10
	defer cancel()

	_, err := s.Reserve(short, asked(sale, "r-1", "ann", lampsAlone(1)))

	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, holdfast.ErrTryLater) {
		t.Error(err)
	}
	if outcome := s.reserve(sale, "r-1", lampsAlone(1)); !outcome.Held() {
		t.Error(outcome)
	}
}

func TestConformanceAServerThatIsAway(t *testing.T) {
	address(t)
	policy := holdfast.DefaultRetryPolicy()
	policy.Overall = 2 * time.Second
	client := must(holdfast.New("127.0.0.1:1", holdfast.WithRetryPolicy(policy)))(t)
	defer client.Close()

	_, err := client.Reserve(context.Background(), asked("lamps", "r-1", "ann", lampsAlone(1)))

	if !errors.Is(err, holdfast.ErrNoAnswer) || !errors.Is(err, holdfast.ErrOutcomeUnknown) {
		t.Error(err)
	}
}
