package holdfast

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	inventoryv1 "holdfast/inventory/v1"
)

func TestEachAttemptAsksForAToken(t *testing.T) {
	fake := &fakeServer{reserve: func(_ context.Context, attempt int, request *inventoryv1.ReserveRequest) (*inventoryv1.ReserveResponse, error) {
		if attempt == 1 {
			return nil, failure(codes.Unavailable, "STORE_UNREACHABLE")
		}
		return heldAnswer(request), nil
	}}
	asked := 0
	client := fake.client(t, WithToken(func(context.Context) (string, error) { asked++; return fmt.Sprint("token-", asked), nil }))

	if _, err := client.Reserve(context.Background(), lamp("r-1")); err != nil {
		t.Fatal(err)
	}

	if got := strings.Join(fake.tokens, ", "); got != "Bearer token-1, Bearer token-2" {
		t.Error(got)
	}
}

func TestATokenThatCannotBeHadEndsTheCall(t *testing.T) {
	locked := errors.New("the vault is locked")
	for name, each := range map[string]struct {
		source TokenSource
		cause  error
	}{
		"its source failed": {func(context.Context) (string, error) { return "", locked }, locked},
		"a line break":      {func(context.Context) (string, error) { return "secret\n", nil }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeServer{}

			_, err := fake.client(t, WithToken(each.source)).Reserve(context.Background(), lamp("r-1"))

			if !errors.Is(err, ErrTokenUnavailable) || !errors.Is(err, ErrNotAllowed) || each.cause != nil && !errors.Is(err, each.cause) {
				t.Error(err)
			}
			if fake.count() != 0 || errors.Is(err, ErrOutcomeUnknown) || strings.Contains(err.Error(), "secret") {
				t.Error(fake.count(), err)
			}
		})
	}
}

func TestATokenGoesInPlaintextToThisMachineAlone(t *testing.T) {
	token := WithToken(func(context.Context) (string, error) { return "secret", nil })
	for address, allowed := range map[string]bool{
		"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "inventory:1": false, "127.0.0.1:1,10.0.0.1:1": false,
	} {
		client, err := New(address, token)
		if (err == nil) != allowed {
			t.Errorf("%s: %v", address, err)
		}
		if err == nil {
			_ = client.Close()
		}
	}
}
