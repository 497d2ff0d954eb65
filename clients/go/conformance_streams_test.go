package holdfast_test

import (
	"errors"
	"fmt"
	"testing"

	"holdfast"
	inventoryv1 "holdfast/inventory/v1"
)

// Lists, watches and many requests at once, against a running server.

func TestConformancePages(t *testing.T) {
	s := openShop(t)
	sale, reference := s.newSale(lampsAlone(10)), s.newName("order")
	var last holdfast.Outcome
	for number := range 5 {
		request := asked(sale, fmt.Sprint("r-", number), "ann", lampsAlone(1))
		request.Reference = reference
		last = must(s.Reserve(s.ctx, request))(t)
	}
	selection := &inventoryv1.ListReservationsRequest{SaleId: sale, Reference: reference, PageSize: 2, AtLeast: last.Reservation.Position}

	page := must(s.ListReservations(s.ctx, selection))(t)
	seen := map[string]bool{}
	for reservation, err := range s.Reservations(s.ctx, selection) {
		if err != nil {
			t.Fatal(err)
		}
		seen[reservation.ReservationId] = true
	}
	found := false
	for listed, err := range s.Sales(s.ctx, &inventoryv1.ListSalesRequest{PageSize: 1000}) {
		found = found || must(listed, err)(t).SaleId == sale
	}

	if len(page.Reservations) > 2 || page.NextPageToken == "" || page.CompleteTime == nil {
		t.Error(page)
	}
	if len(seen) != 5 || !found {
		t.Error(seen, found)
	}
}

func TestConformanceWatches(t *testing.T) {
	s := openShop(t)
	sale := s.newSale(lampsAlone(3))
	s.reserve(sale, "r-1", lampsAlone(1))
	step, ended := 0, false

	for message, err := range s.WatchSale(s.ctx, &inventoryv1.WatchSaleRequest{SaleId: sale}) {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case step == 0:
			if !message.Snapshot || message.Sale.Items[0].Held != 1 {
				t.Error(message)
			}
			must(s.Confirm(s.ctx, &inventoryv1.ConfirmReservationRequest{SaleId: sale, ReservationId: "r-1"}))(t)
			step = 1
		case step == 1 && len(message.Sale.Items) == 1 && message.Sale.Items[0].Sold == 1:
			must(s.CloseSale(s.ctx, &inventoryv1.CloseSaleRequest{SaleId: sale, Reason: "sold elsewhere"}))(t)
			step = 2
		}
		ended = message.Sale.State == inventoryv1.SaleState_SALE_STATE_CLOSED
	}

	if step != 2 || !ended {
		t.Errorf("the watch ended after step %d", step)
	}
	var state *inventoryv1.Reservation
	for message, err := range s.WatchReservation(s.ctx, &inventoryv1.WatchReservationRequest{SaleId: sale, ReservationId: "r-1"}) {
		state = must(message, err)(t).Reservation
	}
	if state.GetState() != confirmedState || state.GetLedgerState() != recorded {
		t.Error(state)
	}
	for _, err := range s.WatchSale(s.ctx, &inventoryv1.WatchSaleRequest{SaleId: "go-none"}) {
		if !errors.Is(err, holdfast.ErrNotFound) {
			t.Error(err)
		}
	}
}

func TestConformanceManyAtOnce(t *testing.T) {
	s := openShop(t)
	sale := s.newSale(lampsAlone(550))
	var batch []*inventoryv1.ReserveRequest
	for number := range 600 {
		batch = append(batch, asked(sale, fmt.Sprint("b-", number), fmt.Sprint("buyer-", number), lampsAlone(1)))
	}
	batch[3] = asked("go-none", "b-3", "ann", lampsAlone(1))

	held, rejected := 0, 0
	for number, result := range s.BatchReserve(s.ctx, batch) {
		switch {
		case number == 3:
			if !errors.Is(result.Err, holdfast.ErrNotFound) {
				t.Error(result)
			}
		case result.Err != nil:
			t.Error(number, result.Err)
		case result.Outcome.Held():
			held++
		case result.Outcome.Rejection.GetReason() == soldOut:
			rejected++
		}
	}
	if held != 550 || rejected != 49 {
		t.Errorf("%d held, %d rejected", held, rejected)
	}

	requests := make(chan *inventoryv1.ReserveRequest)
	go func() {
		defer close(requests)
		for _, request := range batch {
			requests <- request
		}
	}()
	replayed := 0
	for request, result := range s.StreamReserve(s.ctx, requests) {
		if request.SaleId == sale && result.Err != nil || request.SaleId != sale && !errors.Is(result.Err, holdfast.ErrNotFound) {
			t.Error(request, result.Err)
		}
		if result.Outcome.Replayed {
			replayed++
		}
	}
	if replayed != 550 {
		t.Errorf("%d replayed", replayed)
	}
}
