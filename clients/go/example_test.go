package holdfast_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"holdfast"
	inventoryv1 "holdfast/inventory/v1"
)

func ExampleClient_Reserve() {
	shop, err := holdfast.New("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer shop.Close()
	ctx := context.Background()

	outcome, err := shop.Reserve(ctx, &inventoryv1.ReserveRequest{
		SaleId: "lamps", ReservationId: "cart-7", BuyerId: "anna", Lines: holdfast.Lines(map[string]int64{"lamp": 2}),
	})
	var failed *holdfast.Error
	switch {
	case errors.As(err, &failed):
		fmt.Println(failed, failed.OutcomeUnknown) // if it is unknown, repeat with the same id, which tells
	case outcome.Held():
		fmt.Println("held until", outcome.Reservation.ExpireTime.AsTime())
	default:
		fmt.Println(outcome.Rejection.GetReason()) // sold out, for example
	}
}

func ExampleClient_WatchSale() {
	shop, err := holdfast.New("inventory-1:50051,inventory-2:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer shop.Close()

	for message, err := range shop.WatchSale(context.Background(), &inventoryv1.WatchSaleRequest{SaleId: "lamps"}) {
		if err != nil {
			log.Fatal(err)
		}
		for _, item := range message.Sale.Items { // all of them at first, then those that have changed
			fmt.Println(item.Sku, item.Available)
		}
	}
}

func ExampleClient_StreamReserve() {
	shop, err := holdfast.New("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer shop.Close()
	requests := make(chan *inventoryv1.ReserveRequest)
	go func() {
		defer close(requests)
		for number := range 1000 {
			requests <- &inventoryv1.ReserveRequest{
				SaleId: "lamps", ReservationId: fmt.Sprint("cart-", number), BuyerId: fmt.Sprint("buyer-", number),
				Lines: holdfast.Lines(map[string]int64{"lamp": 1}),
			}
		}
	}()

	for request, result := range shop.StreamReserve(context.Background(), requests) {
		fmt.Println(request.ReservationId, result.Outcome.Held(), result.Err)
	}
}

// A caller that is in doubt, and does not want to repeat, ends the matter.
func ExampleError() {
	shop, err := holdfast.New("127.0.0.1:50051")
	if err != nil {
		log.Fatal(err)
	}
	defer shop.Close()
	ctx := context.Background()

	request := &inventoryv1.ReserveRequest{
		SaleId: "lamps", ReservationId: "cart-7", BuyerId: "anna", Lines: holdfast.Lines(map[string]int64{"lamp": 2}),
	}
	_, err = shop.Reserve(ctx, request)
	var failed *holdfast.Error
	if errors.As(err, &failed) && failed.Reason == inventoryv1.ErrorReason_ERROR_REASON_LEDGER_BEHIND {
		fmt.Println("ask again in", failed.RetryAfter)
	}
	if errors.Is(err, holdfast.ErrOutcomeUnknown) {
		release := &inventoryv1.ReleaseReservationRequest{SaleId: "lamps", ReservationId: "cart-7", SpendId: true}
		_, err = shop.Release(ctx, release)
		fmt.Println(err)
	}
}
