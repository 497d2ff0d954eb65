package holdfast

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	inventoryv1 "holdfast/inventory/v1"
)

func TestACallIsRepeatedUnderItsID(t *testing.T) {
	fake := &fakeServer{reserve: func(_ context.Context, attempt int, request *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		if attempt < 3 {
			return nil, failure(codes.Unavailable, "STORE_UNREACHABLE")
		}
		return heldAnswer(request), nil
	}}
	client := fake.client(t)

	outcome, err := client.Reserve(context.Background(), lamp("r-1"))

	if err != nil || !outcome.Held() || outcome.Reservation.ReservationId != "r-1" {
		t.Fatal(outcome, err)
	}
	if len(fake.requests) != 3 {
		t.Fatalf("%d attempts", len(fake.requests))
	}
	for _, request := range fake.requests {
		if !proto.Equal(request, lamp("r-1")) {
			t.Error(request)
		}
	}
}

func TestARepeatGoesToTheNextServer(t *testing.T) {
	away := &fakeServer{reserve: func(context.Context, int, *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		return nil, failure(codes.Unavailable, "SERVER_DRAINING")
	}}
	fake := &fakeServer{reserve: func(_ context.Context, _ int, request *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		return heldAnswer(request), nil
	}}
	client := fake.client(t)
	other := away.client(t)
	client.stubs = []stubs{client.stubs[0], other.stubs[0]}

	for number := range 4 {
		if _, err := client.Reserve(context.Background(), lamp(fmt.Sprint("r-", number))); err != nil {
			t.Fatal(err)
		}
	}

	if away.count() != 2 || fake.count() != 4 {
		t.Errorf("%d calls to the one, %d to the other", away.count(), fake.count())
	}
}

func TestSeveralServersHaveConnectionsInTurn(t *testing.T) {
	client, err := New("127.0.0.1:1, 127.0.0.1:2,127.0.0.1:3", WithChannels(4))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	var targets []string
	for _, channel := range client.channels {
		targets = append(targets, strings.TrimPrefix(channel.CanonicalTarget(), "dns:///127.0.0.1:"))
	}

	if got := strings.Join(targets, " "); got != "1 2 3 1 2 3" {
		t.Error(got)
	}
}

func TestAnAddressWithoutPortIsRefused(t *testing.T) {
	for _, address := range []string{"", "inventory", "inventory:1,", "a:1,b"} {
		if _, err := New(address); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
}

func TestThePauseThatTheServerAsksForIsKept(t *testing.T) {
	const pause = 150 * time.Millisecond
	fake := &fakeServer{reserve: func(_ context.Context, attempt int, request *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		if attempt == 1 {
			return nil, failure(codes.ResourceExhausted, "OVERLOADED", after(pause))
		}
		return heldAnswer(request), nil
	}}

	if _, err := fake.client(t).Reserve(context.Background(), lamp("r-1")); err != nil {
		t.Fatal(err)
	}

	if waited := fake.times[1].Sub(fake.times[0]); waited < pause {
		t.Errorf("repeated after %v", waited)
	}
}

func TestAPauseBeyondThePatienceEndsTheCallAtOnce(t *testing.T) {
	fake := &fakeServer{reserve: func(context.Context, int, *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		return nil, failure(codes.ResourceExhausted, "THROTTLED", after(time.Hour))
	}}
	begun := time.Now()

	_, err := fake.client(t, WithRetryPolicy(patient())).Reserve(context.Background(), lamp("r-1"))

	var failed *Error
	if !errors.As(err, &failed) || failed.RetryAfter != time.Hour || failed.OutcomeUnknown || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if fake.count() != 1 || time.Since(begun) > time.Minute {
		t.Errorf("%d attempts in %v", fake.count(), time.Since(begun))
	}
}

func TestSoldOutIsAnAnswer(t *testing.T) {
	soldOut := &inventoryv1.Rejection{Reason: inventoryv1.RejectionReason_REJECTION_REASON_SOLD_OUT}
	fake := &fakeServer{reserve: func(context.Context, int, *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		return &inventoryv1.ReserveResponse{Outcome: &inventoryv1.ReserveResponse_Rejection{Rejection: soldOut}}, nil
	}}

	outcome, err := fake.client(t).Reserve(context.Background(), lamp("r-1"))

	if err != nil || outcome.Held() || !proto.Equal(outcome.Rejection, soldOut) || fake.count() != 1 {
		t.Error(outcome, err)
	}
}

func TestAnAnswerThatIsNewerThanThisVersionIsNoClaim(t *testing.T) {
	for _, outcome := range []Outcome{{}, {Reservation: &inventoryv1.Reservation{State: 99}}} {
		if outcome.Held() {
			t.Error(outcome)
		}
	}
}

func TestTheOutcomeOfAllAttemptsIsTold(t *testing.T) {
	cutOff := status.Error(codes.Unavailable, "cut off")
	away, busy := failure(codes.Unavailable, "STORE_UNREACHABLE"), failure(codes.ResourceExhausted, "OVERLOADED")
	for name, each := range map[string]struct {
		statuses []error // of the attempts; the last one stays
		unknown  bool
	}{
		"nothing was done":                     {[]error{away, busy}, false},
		"no answer":                            {[]error{cutOff}, true},
		"no answer, then nothing done":         {[]error{cutOff, away}, true},
		"the server does not know, then away":  {[]error{failure(codes.Unavailable, "OUTCOME_UNKNOWN"), away}, true},
		"no answer, then judged":               {[]error{cutOff, failure(codes.AlreadyExists, "RESERVATION_ID_REUSED")}, false},
		"no answer, then not judged":           {[]error{cutOff, failure(codes.PermissionDenied, "SCOPE_MISSING")}, true},
		"no answer, then too large":            {[]error{cutOff, status.Error(codes.ResourceExhausted, "too large")}, true},
		"a message that is too large":          {[]error{status.Error(codes.ResourceExhausted, "too large")}, false},
		"a proxy that wants a token":           {[]error{status.Error(codes.Unauthenticated, "who?")}, false},
		"a code of gRPC's own":                 {[]error{status.Error(codes.Internal, "broken")}, true},
		"a reason of another domain, no reply": {[]error{status.Error(codes.Unknown, "?")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeServer{reserve: func(_ context.Context, attempt int, _ *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
				return nil, each.statuses[min(attempt, len(each.statuses))-1]
			}}

			_, err := fake.client(t, WithRetryPolicy(short())).Reserve(context.Background(), lamp("r-1"))

			var failed *Error
			if !errors.As(err, &failed) || failed.OutcomeUnknown != each.unknown || errors.Is(err, ErrOutcomeUnknown) != each.unknown {
				t.Error(err)
			}
		})
	}
}

func TestAReadLeavesNothingUnknown(t *testing.T) {
	fake := &fakeServer{}

	_, err := fake.client(t, WithRetryPolicy(short())).GetSale(context.Background(), &inventoryv1.GetSaleRequest{SaleId: "lamps"})

	if !errors.Is(err, ErrNoAnswer) || !errors.Is(err, ErrTryLater) || errors.Is(err, ErrOutcomeUnknown) {
		t.Error(err)
	}
	if fake.count() < 2 {
		t.Error("it was not repeated")
	}
}

func TestARequestThatCannotSucceedIsNotRepeated(t *testing.T) {
	fake := &fakeServer{reserve: func(context.Context, int, *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		return nil, failure(codes.NotFound, "SALE_NOT_FOUND")
	}}

	_, err := fake.client(t).Reserve(context.Background(), lamp("r-1"))

	if !errors.Is(err, ErrNotFound) || fake.count() != 1 {
		t.Error(err, fake.count())
	}
}

func TestAServerThatIsSilentCostsOneAttempt(t *testing.T) {
	fake := &fakeServer{reserve: func(ctx context.Context, attempt int, request *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		if attempt == 1 {
			<-ctx.Done()
		}
		return heldAnswer(request), ctx.Err()
	}}
	policy := quick()
	policy.Attempt = 100 * time.Millisecond

	outcome, err := fake.client(t, WithRetryPolicy(policy)).Reserve(context.Background(), lamp("r-1"))

	if err != nil || !outcome.Held() || fake.count() < 2 {
		t.Error(outcome, err)
	}
}

func TestAClientThatIsClosedEndsItsCalls(t *testing.T) {
	arrived := make(chan bool)
	fake := &fakeServer{reserve: func(ctx context.Context, _ int, _ *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		close(arrived)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	client := fake.client(t)
	go func() { <-arrived; _ = client.Close() }()

	_, underWay := client.Reserve(context.Background(), lamp("r-1"))
	_, later := client.Reserve(context.Background(), lamp("r-2"))

	if !errors.Is(underWay, ErrClosed) || !errors.Is(underWay, ErrOutcomeUnknown) {
		t.Error(underWay)
	}
	if !errors.Is(later, ErrClosed) || errors.Is(later, ErrOutcomeUnknown) {
		t.Error(later)
	}
}

func TestAnotherPolicySharesTheConnections(t *testing.T) {
	client, err := New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	patient, eager := DefaultRetryPolicy(), DefaultRetryPolicy()
	patient.Overall, eager.RepeatsPerSecond = time.Hour, 1000

	if other := client.WithPolicy(patient); other.connections != client.connections || other.budget != client.budget || other.policy != patient {
		t.Error(other)
	}
	if other := client.WithPolicy(eager); other.connections != client.connections || other.budget == client.budget {
		t.Error(other)
	}
}

func TestOptionsOfGRPCReachEveryAttempt(t *testing.T) {
	fake := &fakeServer{reserve: func(_ context.Context, attempt int, request *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		if attempt == 1 {
			return nil, failure(codes.Unavailable, "STORE_UNREACHABLE")
		}
		return heldAnswer(request), nil
	}}
	seen := 0
	interceptor := grpc.WithUnaryInterceptor(func(ctx context.Context, method string, request, reply any, channel *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
		seen++
		return invoke(ctx, method, request, reply, channel, options...)
	})

	if _, err := fake.client(t, WithDialOptions(interceptor)).Reserve(context.Background(), lamp("r-1")); err != nil || seen != 2 {
		t.Error(err, seen)
	}
}

func TestEveryCallOfTheAPIHasAMethod(t *testing.T) {
	client := reflect.TypeFor[*Client]()
	for _, file := range []protoreflect.FileDescriptor{inventoryv1.File_holdfast_inventory_v1_inventory_service_proto, inventoryv1.File_holdfast_inventory_v1_inventory_admin_service_proto} {
		for number := range file.Services().Get(0).Methods().Len() {
			name := string(file.Services().Get(0).Methods().Get(number).Name())
			_, found := client.MethodByName(name)
			_, foundShort := client.MethodByName(strings.TrimSuffix(name, "Reservation")) // Confirm, Release and so on
			if !found && !foundShort {
				t.Errorf("%s has none", name)
			}
		}
	}
}
