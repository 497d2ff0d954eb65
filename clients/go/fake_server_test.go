package holdfast

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	inventoryv1 "holdfast/inventory/v1"
)

// fakeServer answers as a test says, and notes what it was sent. A method that a test does not set is UNIMPLEMENTED.
type fakeServer struct {
	inventoryv1.UnimplementedInventoryServiceServer
	inventoryv1.UnimplementedInventoryAdminServiceServer

	reserve func(ctx context.Context, attempt int, request *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error)
	batch   func(attempt int, request *inventoryv1.BatchReserveRequest) (*inventoryv1.BatchReserveResponse, error)
	stream  func(attempt int, stream grpc.BidiStreamingServer[inventoryv1.StreamReserveRequest, inventoryv1.StreamReserveResponse]) error
	watch   func(attempt int, stream grpc.ServerStreamingServer[inventoryv1.WatchSaleResponse]) error
	sales   func(request *inventoryv1.ListSalesRequest) (*inventoryv1.ListSalesResponse, error)

	mutex    sync.Mutex
	requests []*inventoryv1.ReserveRequest
	times    []time.Time
	tokens   []string
	attempts int
}

// note counts an attempt, from 1 on.
func (f *fakeServer) note(ctx context.Context, request *inventoryv1.ReserveRequest) int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.attempts++
	f.requests = append(f.requests, request)
	f.times = append(f.times, time.Now())
	f.tokens = append(f.tokens, metadata.ValueFromIncomingContext(ctx, "authorization")...)
	return f.attempts
}

func (f *fakeServer) count() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.attempts
}

func (f *fakeServer) Reserve(ctx context.Context, request *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
	return f.reserve(ctx, f.note(ctx, request), request)
}

func (f *fakeServer) BatchReserve(ctx context.Context, request *inventoryv1.BatchReserveRequest) (*inventoryv1.BatchReserveResponse, error) {
	return f.batch(f.note(ctx, nil), request)
}

func (f *fakeServer) StreamReserve(stream grpc.BidiStreamingServer[inventoryv1.StreamReserveRequest, inventoryv1.StreamReserveResponse]) error {
	return f.stream(f.note(stream.Context(), nil), stream)
}

func (f *fakeServer) WatchSale(_ *inventoryv1.WatchSaleRequest, stream grpc.ServerStreamingServer[inventoryv1.WatchSaleResponse]) error {
	return f.watch(f.note(stream.Context(), nil), stream)
}

func (f *fakeServer) GetSale(ctx context.Context, _ *inventoryv1.GetSaleRequest) (*inventoryv1.GetSaleResponse, error) {
	f.note(ctx, nil)
	return nil, status.Error(codes.Unavailable, "cut off")
}

func (f *fakeServer) ListSales(_ context.Context, request *inventoryv1.ListSalesRequest) (*inventoryv1.ListSalesResponse, error) {
	return f.sales(request)
}

// listen runs the server in this process and returns an option with which a connection leads to it, at any address.
func (f *fakeServer) listen(t *testing.T) grpc.DialOption {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	pings := keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true} // as a server of Holdfast takes them
	server := grpc.NewServer(grpc.KeepaliveEnforcementPolicy(pings))
	inventoryv1.RegisterInventoryServiceServer(server, f)
	inventoryv1.RegisterInventoryAdminServiceServer(server, f)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) })
}

// patient is a policy whose patience outlasts every other limit of a test.
func patient() RetryPolicy {
	policy := quick()
	policy.Overall, policy.Attempt, policy.LedgerAttempt = 5*time.Minute, 5*time.Minute, 5*time.Minute
	return policy
}

// client returns one of the server.
func (f *fakeServer) client(t *testing.T, options ...Option) *Client {
	t.Helper()
	client, err := New("127.0.0.1:1", append([]Option{WithRetryPolicy(quick()), WithDialOptions(f.listen(t))}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// quick is a policy whose delays a test can wait for, and whose patience a slow machine keeps.
func quick() RetryPolicy {
	policy := DefaultRetryPolicy()
	policy.FirstDelay, policy.LongestDelay = time.Millisecond, 10*time.Millisecond
	policy.RepeatsPerSecond = 100
	return policy
}

// short is the same with little patience.
func short() RetryPolicy {
	policy := quick()
	policy.Overall = time.Second
	return policy
}

func lamp(id string) *inventoryv1.ReserveRequest {
	return &inventoryv1.ReserveRequest{SaleId: "lamps", ReservationId: id, BuyerId: "ann", Lines: Lines(map[string]int64{"lamp": 1})}
}

// heldAnswer holds what is asked.
func heldAnswer(request *inventoryv1.ReserveRequest) *inventoryv1.ReserveResponse {
	held := &inventoryv1.Reservation{ReservationId: request.ReservationId, State: inventoryv1.ReservationState_RESERVATION_STATE_HELD}
	return &inventoryv1.ReserveResponse{Outcome: &inventoryv1.ReserveResponse_Reservation{Reservation: held}}
}

// failure is a status as a server of Holdfast sends it.
func failure(code codes.Code, reason string, details ...protoadapt.MessageV1) error {
	info := &errdetails.ErrorInfo{Reason: reasonPrefix + reason, Domain: domain, Metadata: map[string]string{"sale_id": "lamps"}}
	failed, err := status.New(code, "It cannot be done.").WithDetails(append([]protoadapt.MessageV1{info}, details...)...)
	if err != nil {
		panic(err)
	}
	return failed.Err()
}

// within waits for something that a goroutine of the server sends.
func within[Value any](t *testing.T, channel <-chan Value) (value Value) {
	t.Helper()
	select {
	case value = <-channel:
	case <-time.After(30 * time.Second):
		t.Fatal("it did not happen")
	}
	return value
}

func after(pause time.Duration) protoadapt.MessageV1 {
	return &errdetails.RetryInfo{RetryDelay: durationpb.New(pause)}
}
