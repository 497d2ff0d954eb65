package holdfast

import (
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	inventoryv1 "holdfast/inventory/v1"
)

var kinds = []error{
	ErrInvalidRequest, ErrNotBuilt, ErrNotFound, ErrIDReused, ErrWrongState, ErrOutdated, ErrNotAllowed, ErrTokenUnavailable,
	ErrTryLater, ErrNoAnswer, ErrClosed, ErrOutcomeUnknown,
}

func kindsOf(err error) (found []error) {
	for _, kind := range kinds {
		if errors.Is(err, kind) {
			found = append(found, kind)
		}
	}
	return found
}

func TestAStatusHasItsKind(t *testing.T) {
	for _, each := range []struct {
		code   codes.Code
		reason string
		want   []error
	}{
		{codes.InvalidArgument, "FIELD_OUT_OF_BOUNDS", []error{ErrInvalidRequest}},
		{codes.Unimplemented, "NOT_BUILT", []error{ErrNotBuilt}},
		{codes.NotFound, "ITEM_NOT_FOUND", []error{ErrNotFound}},
		{codes.AlreadyExists, "SALE_ID_REUSED", []error{ErrIDReused}},
		{codes.FailedPrecondition, "MORE_THAN_HELD", []error{ErrWrongState}},
		{codes.Aborted, "ETAG_MISMATCH", []error{ErrOutdated}},
		{codes.Unauthenticated, "TOKEN_REVOKED", []error{ErrNotAllowed}},
		{codes.PermissionDenied, "SCOPE_MISSING", []error{ErrNotAllowed}},
		{codes.ResourceExhausted, "THROTTLED", []error{ErrTryLater}},
		{codes.Unavailable, "LEDGER_BEHIND", []error{ErrTryLater}},
		{codes.DeadlineExceeded, "DEADLINE_TOO_SHORT", []error{ErrTryLater}},
		{codes.Unavailable, "OUTCOME_UNKNOWN", []error{ErrTryLater, ErrOutcomeUnknown}},
		{codes.FailedPrecondition, "MADE_UP_LATER", []error{ErrWrongState}},
		{codes.DataLoss, "MADE_UP_LATER", nil},
		{codes.Unavailable, "", []error{ErrTryLater, ErrNoAnswer, ErrOutcomeUnknown}},
		{codes.NotFound, "", []error{ErrTryLater, ErrNoAnswer, ErrOutcomeUnknown}},
		{codes.Unimplemented, "", []error{ErrNotBuilt}},
		{codes.ResourceExhausted, "", nil},
		{codes.Unauthenticated, "", []error{ErrNotAllowed}},
		{codes.PermissionDenied, "", []error{ErrNotAllowed}},
	} {
		sent := status.Error(each.code, "no")
		if each.reason != "" {
			sent = failure(each.code, each.reason)
		}

		failed := errorFrom(sent, lamp("r-1"))

		if got := kindsOf(failed); !equal(got, each.want) {
			t.Errorf("%v %s: %v", each.code, each.reason, got)
		}
		if known := inventoryv1.ErrorReason_value[reasonPrefix+each.reason]; int32(failed.Reason) != known {
			t.Errorf("%s: %v", each.reason, failed.Reason)
		}
	}
}

func equal(one, other []error) bool { return text(one) == text(other) }

func text(all []error) (joined string) {
	for _, each := range all {
		joined += each.Error() + ";"
	}
	return joined
}

func TestAnErrorHasTheDetailsOfItsStatus(t *testing.T) {
	stands := &inventoryv1.Reservation{ReservationId: "r-1", State: inventoryv1.ReservationState_RESERVATION_STATE_EXPIRED}
	bad := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: "buyer_id", Description: "is empty"}, {Field: "lines[0].quantity", Description: "is below 1"},
	}}
	sent := failure(codes.FailedPrecondition, "WRONG_RESERVATION_STATE", stands, bad, after(time.Second))

	var failed *Error
	if !errors.As(errorFrom(sent, lamp("r-1")), &failed) {
		t.Fatal("it is no *Error")
	}

	if failed.Reason != inventoryv1.ErrorReason_ERROR_REASON_WRONG_RESERVATION_STATE || failed.Code != codes.FailedPrecondition {
		t.Error(failed.Reason, failed.Code)
	}
	if !proto.Equal(failed.Reservation, stands) || failed.RetryAfter != time.Second || failed.Metadata["sale_id"] != "lamps" {
		t.Error(failed.Reservation, failed.RetryAfter, failed.Metadata)
	}
	if len(failed.Violations) != 2 || failed.Violations["buyer_id"] != "is empty" {
		t.Error(failed.Violations)
	}
	if want := "holdfast: reservation r-1 of sale lamps: It cannot be done. buyer_id: is empty. lines[0].quantity: is below 1. [WRONG_RESERVATION_STATE]"; failed.Error() != want {
		t.Error(failed)
	}
}

func TestAReasonOfAnotherDomainIsNone(t *testing.T) {
	sent, err := status.New(codes.Unavailable, "no").WithDetails(&errdetails.ErrorInfo{Reason: reasonPrefix + "OVERLOADED", Domain: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}

	failed := errorFrom(sent.Err(), lamp("r-1"))

	if failed.ReasonName != "" || failed.Metadata != nil || !failed.OutcomeUnknown {
		t.Error(failed)
	}
}

func TestAnErrorSaysWhatItIsAbout(t *testing.T) {
	sale := &inventoryv1.CreateSaleRequest{Sale: &inventoryv1.Sale{SaleId: "lamps"}}
	stock := &inventoryv1.AdjustStockRequest{SaleId: "lamps", Sku: "lamp", AdjustmentId: "a-1"}
	for _, each := range []struct {
		about proto.Message
		want  string
	}{
		{sale, "holdfast: sale lamps: no [Unavailable, outcome unknown]"},
		{stock, "holdfast: adjustment a-1 of item lamp of sale lamps: no [Unavailable, outcome unknown]"},
		{&inventoryv1.BlockBuyerRequest{BuyerId: "ann"}, "holdfast: buyer ann: no [Unavailable, outcome unknown]"},
		{&inventoryv1.CreateSaleRequest{}, "holdfast: no [Unavailable, outcome unknown]"},
		{nil, "holdfast: no [Unavailable, outcome unknown]"},
	} {
		if got := errorFrom(status.Error(codes.Unavailable, "no"), each.about).Error(); got != each.want {
			t.Error(got)
		}
	}
	if got := errorFrom(failure(codes.NotFound, "SALE_NOT_FOUND"), nil).Error(); !strings.Contains(got, "[SALE_NOT_FOUND, sale_id lamps]") {
		t.Error(got)
	}
}
