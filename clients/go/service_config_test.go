package holdfast

import (
	"context"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	inventoryv1 "holdfast/inventory/v1"
)

// plain returns stubs alone on a channel that was told of the service config.
func plain(t *testing.T, fake *fakeServer) inventoryv1.InventoryServiceClient {
	t.Helper()
	channel, err := grpc.NewClient(
		"127.0.0.1:1", grpc.WithTransportCredentials(insecure.NewCredentials()), fake.listen(t),
		grpc.WithDefaultServiceConfig(inventoryv1.ServiceConfig), grpc.WithDisableServiceConfig(),
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = channel.Close() })
	return inventoryv1.NewInventoryServiceClient(channel)
}

func TestPlainStubsRepeatWhatIsUnavailable(t *testing.T) {
	for code, attempts := range map[codes.Code]int{codes.Unavailable: 4, codes.ResourceExhausted: 1, codes.Aborted: 1, codes.Internal: 1} {
		fake := &fakeServer{reserve: func(context.Context, int, *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
			return nil, status.Error(code, "no")
		}}

		_, err := plain(t, fake).Reserve(context.Background(), lamp("r-1"))

		if status.Code(err) != code || fake.count() != attempts {
			t.Errorf("%v: %v after %d attempts", code, err, fake.count())
		}
	}
}

func TestPlainStubsRepeatNoStream(t *testing.T) {
	fake := &fakeServer{
		watch:  func(int, saleStream) error { return status.Error(codes.Unavailable, "no") },
		stream: func(int, serverStream) error { return status.Error(codes.Unavailable, "no") },
	}
	stubs := plain(t, fake)

	watch, err := stubs.WatchSale(context.Background(), lampSale)
	if err == nil {
		_, err = watch.Recv()
	}
	if status.Code(err) != codes.Unavailable || fake.count() != 1 {
		t.Error(err, fake.count())
	}
	reserve, err := stubs.StreamReserve(context.Background())
	if err == nil {
		_, err = reserve.Recv()
	}
	if status.Code(err) != codes.Unavailable || fake.count() != 2 {
		t.Error(err, fake.count())
	}
}

func TestTheClientsRepeatsDoNotMultiplyWithThoseOfGRPC(t *testing.T) {
	fake := &fakeServer{reserve: func(_ context.Context, attempt int, request *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		return nil, failure(codes.Unavailable, "STORE_UNREACHABLE")
	}}
	policy := quick()
	policy.RepeatsPerSecond = 0 // no repeat of this package's own

	_, err := fake.client(t, WithRetryPolicy(policy), WithDialOptions(grpc.WithDefaultServiceConfig(inventoryv1.ServiceConfig))).
		Reserve(context.Background(), lamp("r-1"))

	if err == nil || fake.count() != 1 {
		t.Error(err, fake.count())
	}
}
