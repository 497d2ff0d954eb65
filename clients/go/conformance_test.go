package holdfast_test

import (
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"holdfast"
	inventoryv1 "holdfast/inventory/v1"
)

// These tests drive a running server, and are skipped unless HOLDFAST_ADDRESS names one. Each makes sales of its own.

func TestConformanceASaleToItsLastUnit(t *testing.T) {
	s := openShop(t)
	sale := s.newSale(lampsAlone(3))

	first := s.reserve(sale, "r-1", lampsAlone(2))
	repeat := s.reserve(sale, "r-1", lampsAlone(2))
	s.reserve(sale, "r-2", lampsAlone(1))
	none := s.reserve(sale, "r-3", lampsAlone(1))

	if !first.Held() || first.Replayed || !repeat.Replayed || !proto.Equal(first.Reservation.CreateTime, repeat.Reservation.CreateTime) {
		t.Error(first, repeat)
	}
	left := first.Reservation.ExpireTime.AsTime().Sub(first.ReadTime)
	if left <= 9*time.Minute || left > 10*time.Minute {
		t.Error(left)
	}
	if none.Held() || none.Rejection.GetReason() != soldOut || none.Rejection.Shortages[0].Held != 3 {
		t.Error(none)
	}

	confirmed := must(s.Confirm(s.ctx, &inventoryv1.ConfirmReservationRequest{SaleId: sale, ReservationId: "r-1"}))(t)
	again := must(s.Confirm(s.ctx, &inventoryv1.ConfirmReservationRequest{SaleId: sale, ReservationId: "r-1"}))(t)
	released := must(s.Release(s.ctx, &inventoryv1.ReleaseReservationRequest{SaleId: sale, ReservationId: "r-2", Reason: "changed her mind"}))(t)

	if confirmed.Reservation.State != confirmedState || confirmed.Replayed || !again.Replayed {
		t.Error(confirmed, again)
	}
	if released.Reservation.State != releasedState || released.Reservation.Note != "changed her mind" {
		t.Error(released)
	}
	s.stock(sale, "lamp", 1, 0, 2)
	if ended := s.reserve(sale, "r-2", lampsAlone(1)); ended.Rejection.GetReason() != inventoryv1.RejectionReason_REJECTION_REASON_RESERVATION_ENDED {
		t.Error(ended)
	}
}

func TestConformanceMovesOfAReservation(t *testing.T) {
	s := openShop(t)
	sale := s.newSale(map[string]int64{"lamp": 5, "shade": 2}, func(sale *inventoryv1.Sale) { sale.MaxHoldTtl = durationpb.New(time.Hour) })
	s.reserve(sale, "r-1", map[string]int64{"lamp": 2, "shade": 1})

	changed := must(s.Change(s.ctx, &inventoryv1.ChangeReservationRequest{SaleId: sale, ReservationId: "r-1", Lines: holdfast.Lines(lampsAlone(4))}))(t)
	tooMany := must(s.Change(s.ctx, &inventoryv1.ChangeReservationRequest{SaleId: sale, ReservationId: "r-1", Lines: holdfast.Lines(lampsAlone(9))}))(t)
	extended := must(s.Extend(s.ctx, &inventoryv1.ExtendReservationRequest{SaleId: sale, ReservationId: "r-1", HoldTtl: durationpb.New(30 * time.Minute)}))(t)
	partial := &inventoryv1.PartialConfirm{Lines: holdfast.Lines(lampsAlone(3))}
	must(s.Confirm(s.ctx, &inventoryv1.ConfirmReservationRequest{SaleId: sale, ReservationId: "r-1", Partial: partial}))(t)
	s.stock(sale, "lamp", 2, 0, 3)
	back := must(s.Return(s.ctx, &inventoryv1.ReturnReservationRequest{SaleId: sale, ReservationId: "r-1", Reason: "broken", Lines: holdfast.Lines(lampsAlone(1)), Discard: true}))(t)
	all := must(s.Return(s.ctx, &inventoryv1.ReturnReservationRequest{SaleId: sale, ReservationId: "r-1", Reason: "the rest"}))(t)

	if !changed.Held() || tooMany.Rejection.GetReason() != inventoryv1.RejectionReason_REJECTION_REASON_INSUFFICIENT_STOCK {
		t.Error(changed, tooMany)
	}
	if life := extended.Reservation.ExpireTime.AsTime().Sub(extended.Reservation.CreateTime.AsTime()); life != 30*time.Minute {
		t.Error(life)
	}
	if back.Reservation.State != confirmedState || all.Reservation.State != returnedState {
		t.Error(back, all)
	}
	s.stock(sale, "lamp", 4, 0, 0) // one was discarded
	found := must(s.GetReservation(s.ctx, &inventoryv1.GetReservationRequest{SaleId: sale, ReservationId: "r-1"}))(t)
	if found.Reservation.State != returnedState || found.Reservation.Revision != 6 {
		t.Error(found)
	}
}

func TestConformanceAnIDIsSpent(t *testing.T) {
	s := openShop(t)
	sale := s.newSale(lampsAlone(1))

	must(s.Release(s.ctx, &inventoryv1.ReleaseReservationRequest{SaleId: sale, ReservationId: "r-1", SpendId: true}))(t)

	if late := s.reserve(sale, "r-1", lampsAlone(1)); late.Rejection.GetReason() != inventoryv1.RejectionReason_REJECTION_REASON_RESERVATION_ENDED {
		t.Error(late)
	}
}

func TestConformanceEachErrorIsTyped(t *testing.T) {
	s := openShop(t)
	sale, purchases := s.newSale(lampsAlone(10)), s.newSale(lampsAlone(10), func(sale *inventoryv1.Sale) { sale.HoldTtl = durationpb.New(0) })
	s.reserve(sale, "held", lampsAlone(2))
	s.reserve(sale, "sold", lampsAlone(2))
	must(s.Confirm(s.ctx, &inventoryv1.ConfirmReservationRequest{SaleId: sale, ReservationId: "sold"}))(t)
	must(s.AdjustStock(s.ctx, &inventoryv1.AdjustStockRequest{SaleId: sale, Sku: "lamp", AdjustmentId: "a-1", Change: &inventoryv1.AdjustStockRequest_Delta{Delta: 1}, Reason: "found"}))(t)
	unknown := asked(sale, "r-1", "ann", lampsAlone(1))
	unknown.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
	withTTL := asked(purchases, "r-1", "ann", lampsAlone(1))
	withTTL.HoldTtl = durationpb.New(time.Minute)
	adjust := func(id string, total int64, expected *int64) error {
		_, err := s.AdjustStock(s.ctx, &inventoryv1.AdjustStockRequest{SaleId: sale, Sku: "lamp", AdjustmentId: id, Change: &inventoryv1.AdjustStockRequest_NewTotal{NewTotal: total}, ExpectedTotal: expected, Reason: "counted"})
		return err
	}
	confirm := func(id string, units int64, revision *int64) error {
		partial := &inventoryv1.PartialConfirm{Lines: holdfast.Lines(lampsAlone(units))}
		_, err := s.Confirm(s.ctx, &inventoryv1.ConfirmReservationRequest{SaleId: sale, ReservationId: id, Partial: partial, ExpectedRevision: revision})
		return err
	}
	update := func(sale *inventoryv1.Sale, path string) error {
		_, err := s.UpdateSale(s.ctx, &inventoryv1.UpdateSaleRequest{Sale: sale, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{path}}})
		return err
	}
	reserve := func(request *inventoryv1.ReserveRequest) error { _, err := s.Reserve(s.ctx, request); return err }

	for reason, each := range map[string]struct {
		err  error
		kind error
	}{
		"FIELD_OUT_OF_BOUNDS":     {reserve(asked(sale, "r-1", "", lampsAlone(0))), holdfast.ErrInvalidRequest},
		"UNKNOWN_FIELD":           {reserve(unknown), holdfast.ErrInvalidRequest},
		"SALE_NOT_FOUND":          {reserve(asked("go-none", "r-1", "ann", lampsAlone(1))), holdfast.ErrNotFound},
		"ITEM_NOT_FOUND":          {reserve(asked(sale, "r-1", "ann", map[string]int64{"chair": 1})), holdfast.ErrNotFound},
		"RESERVATION_NOT_FOUND":   {confirm("none", 1, nil), holdfast.ErrNotFound},
		"DEAD_LETTER_NOT_FOUND":   {errorOf3(s.ReplayDeadLetter(s.ctx, &inventoryv1.ReplayDeadLetterRequest{DeadLetterId: "none", ReservationId: "r-9"})), holdfast.ErrNotFound},
		"RESERVATION_ID_REUSED":   {reserve(asked(sale, "held", "bob", lampsAlone(2))), holdfast.ErrIDReused},
		"SALE_ID_REUSED":          {errorOf(s.CreateSale(s.ctx, &inventoryv1.CreateSaleRequest{Sale: &inventoryv1.Sale{SaleId: sale, Items: []*inventoryv1.Item{{Sku: "chair", Total: 1}}}})), holdfast.ErrIDReused},
		"ADJUSTMENT_ID_REUSED":    {adjust("a-1", 20, nil), holdfast.ErrIDReused},
		"WRONG_RESERVATION_STATE": {errorOf(s.Release(s.ctx, &inventoryv1.ReleaseReservationRequest{SaleId: sale, ReservationId: "sold"})), holdfast.ErrWrongState},
		"CONFIRMED_OTHERWISE":     {confirm("sold", 1, nil), holdfast.ErrWrongState},
		"MORE_THAN_HELD":          {confirm("held", 3, nil), holdfast.ErrWrongState},
		"MORE_THAN_SOLD":          {errorOf(s.Return(s.ctx, &inventoryv1.ReturnReservationRequest{SaleId: sale, ReservationId: "sold", Reason: "broken", Lines: holdfast.Lines(lampsAlone(3))})), holdfast.ErrWrongState},
		"SALE_WITHOUT_HOLDS":      {reserve(withTTL), holdfast.ErrWrongState},
		"WRONG_SALE_STATE":        {update(&inventoryv1.Sale{SaleId: sale, StartTime: timestamppb.New(time.Now().Add(time.Hour))}, "start_time"), holdfast.ErrWrongState},
		"STOCK_IN_USE":            {adjust("a-2", 3, nil), holdfast.ErrWrongState},
		"ETAG_MISMATCH":           {update(&inventoryv1.Sale{SaleId: sale, Title: "Lamps", Etag: "another"}, "title"), holdfast.ErrOutdated},
		"TOTAL_MISMATCH":          {adjust("a-3", 20, proto.Int64(7)), holdfast.ErrOutdated},
		"REVISION_MISMATCH":       {confirm("held", 2, proto.Int64(7)), holdfast.ErrOutdated},
	} {
		var failed *holdfast.Error
		if !errors.As(each.err, &failed) || failed.ReasonName != "ERROR_REASON_"+reason || !errors.Is(each.err, each.kind) || failed.OutcomeUnknown {
			t.Errorf("%s: %v", reason, each.err)
			continue
		}
		if reason == "FIELD_OUT_OF_BOUNDS" && (failed.Violations["buyer_id"] == "" || len(failed.Violations) < 2) {
			t.Error(failed.Violations)
		}
		if reason == "MORE_THAN_HELD" && (failed.Reservation.GetState() != heldState || failed.Metadata["asked"] != "3") {
			t.Error(failed.Reservation, failed.Metadata)
		}
	}
}

func errorOf[Answer any](_ Answer, err error) error { return err }

func errorOf3[One, Other any](_ One, _ Other, err error) error { return err }

func TestConformanceOperators(t *testing.T) {
	s := openShop(t)
	sale, buyer := s.newSale(lampsAlone(5)), s.newName("bot")

	must(s.PauseSale(s.ctx, &inventoryv1.PauseSaleRequest{SaleId: sale, Reason: "wrong price"}))(t)
	if paused := s.reserve(sale, "r-1", lampsAlone(1)); paused.Rejection.GetReason() != inventoryv1.RejectionReason_REJECTION_REASON_SALE_PAUSED {
		t.Error(paused)
	}
	resumed := must(s.ResumeSale(s.ctx, &inventoryv1.ResumeSaleRequest{SaleId: sale}))(t)
	title := &inventoryv1.Sale{SaleId: sale, Title: "Lamps, at last", Etag: resumed.Sale.Etag}
	updated := must(s.UpdateSale(s.ctx, &inventoryv1.UpdateSaleRequest{Sale: title, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"title"}}}))(t)
	adjust := &inventoryv1.AdjustStockRequest{SaleId: sale, Sku: "lamp", AdjustmentId: "a-1", Change: &inventoryv1.AdjustStockRequest_Delta{Delta: -2}, Reason: "lost"}
	adjusted, repeat := must(s.AdjustStock(s.ctx, adjust))(t), must(s.AdjustStock(s.ctx, adjust))(t)
	must(s.BlockBuyer(s.ctx, &inventoryv1.BlockBuyerRequest{BuyerId: buyer, Reason: "buys everything"}))(t)
	blocked := must(s.Reserve(s.ctx, asked(sale, "r-2", buyer, lampsAlone(1))))(t)
	listed := false
	for each, err := range s.BlockedBuyers(s.ctx, &inventoryv1.ListBlockedBuyersRequest{}) {
		listed = listed || must(each, err)(t).BuyerId == buyer
	}
	must(s.UnblockBuyer(s.ctx, &inventoryv1.UnblockBuyerRequest{BuyerId: buyer}))(t)
	s.reserve(sale, "r-3", lampsAlone(3))
	audit := must(s.AuditSale(s.ctx, &inventoryv1.AuditSaleRequest{SaleId: sale}))(t)
	closed := must(s.CloseSale(s.ctx, &inventoryv1.CloseSaleRequest{SaleId: sale, ReleaseHolds: true}))(t)
	ended := must(s.GetReservation(s.ctx, &inventoryv1.GetReservationRequest{SaleId: sale, ReservationId: "r-3"}))(t)
	adjustments := 0
	for _, err := range s.Adjustments(s.ctx, &inventoryv1.ListAdjustmentsRequest{SaleId: sale}) {
		must(0, err)(t)
		adjustments++
	}
	for letter, err := range s.DeadLetters(s.ctx, &inventoryv1.ListDeadLettersRequest{SaleId: sale}) {
		t.Error(letter, err)
	}

	if updated.Sale.Title != "Lamps, at last" || adjusted.Item.Total != 3 || !repeat.Replayed || adjustments != 1 {
		t.Error(updated, adjusted, repeat, adjustments)
	}
	if blocked.Rejection.GetReason() != inventoryv1.RejectionReason_REJECTION_REASON_BUYER_BLOCKED || !listed {
		t.Error(blocked, listed)
	}
	if !audit.Consistent || audit.ItemsCompared != 1 || audit.ReservationsCompared != 1 {
		t.Error(audit)
	}
	if closed.Sale.State != inventoryv1.SaleState_SALE_STATE_CLOSED || ended.Reservation.State != releasedState {
		t.Error(closed, ended)
	}
}

func TestConformanceTokensAreRevoked(t *testing.T) {
	s := openShop(t)
	tokens := &inventoryv1.RevokeTokensRequest_Jti{Jti: s.newName("token")}
	request := &inventoryv1.RevokeTokensRequest{Tokens: tokens, Reason: "stolen"}

	first, again := must(s.RevokeTokens(s.ctx, request))(t), must(s.RevokeTokens(s.ctx, request))(t)

	if first.Replayed || !again.Replayed || !first.Recorded {
		t.Error(first, again)
	}
}
