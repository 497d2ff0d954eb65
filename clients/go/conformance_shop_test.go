package holdfast_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"testing"
	"time"

	"holdfast"
	inventoryv1 "holdfast/inventory/v1"
)

const (
	heldState      = inventoryv1.ReservationState_RESERVATION_STATE_HELD
	confirmedState = inventoryv1.ReservationState_RESERVATION_STATE_CONFIRMED
	releasedState  = inventoryv1.ReservationState_RESERVATION_STATE_RELEASED
	returnedState  = inventoryv1.ReservationState_RESERVATION_STATE_RETURNED
	recorded       = inventoryv1.LedgerState_LEDGER_STATE_RECORDED
	soldOut        = inventoryv1.RejectionReason_REJECTION_REASON_SOLD_OUT
)

// shop is a client with what the tests ask of it.
type shop struct {
	*holdfast.Client
	t   *testing.T
	ctx context.Context
}

func address(t *testing.T) string {
	address := os.Getenv("HOLDFAST_ADDRESS")
	if address == "" {
		t.Skip("HOLDFAST_ADDRESS names no server")
	}
	return address
}

func openShop(t *testing.T) shop {
	var options []holdfast.Option
	at := address(t)
	if token := os.Getenv("HOLDFAST_TOKEN"); token != "" {
		options = append(options, holdfast.WithToken(func(context.Context) (string, error) { return token, nil }))
	}
	client, err := holdfast.New(at, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	patient := holdfast.DefaultRetryPolicy()
	patient.Overall = 60 * time.Second // a stack that has just started
	ctx, cancel := context.WithTimeout(context.Background(), 120*time.Second)
	t.Cleanup(cancel)
	return shop{client.WithPolicy(patient), t, ctx}
}

func (s shop) newName(kind string) string { return fmt.Sprintf("go-%s-%s", kind, rand.Text()[:10]) }

// must ends the test if a call failed.
func must[Answer any](answer Answer, err error) func(testing.TB) Answer {
	return func(t testing.TB) Answer {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

// newSale makes a sale of these items and returns its id.
func (s shop) newSale(units map[string]int64, change ...func(*inventoryv1.Sale)) string {
	s.t.Helper()
	sale := &inventoryv1.Sale{SaleId: s.newName("sale")}
	for sku, total := range units {
		sale.Items = append(sale.Items, &inventoryv1.Item{Sku: sku, Total: total})
	}
	for _, each := range change {
		each(sale)
	}
	must(s.CreateSale(s.ctx, &inventoryv1.CreateSaleRequest{Sale: sale}))(s.t)
	return sale.SaleId
}

func asked(sale, id, buyer string, units map[string]int64) *inventoryv1.ReserveRequest {
	return &inventoryv1.ReserveRequest{SaleId: sale, ReservationId: id, BuyerId: buyer, Lines: holdfast.Lines(units)}
}

func (s shop) reserve(sale, id string, units map[string]int64) holdfast.Outcome {
	s.t.Helper()
	return must(s.Reserve(s.ctx, asked(sale, id, "ann", units)))(s.t)
}

func (s shop) item(sale, sku string) *inventoryv1.Item {
	s.t.Helper()
	for _, item := range must(s.GetSale(s.ctx, &inventoryv1.GetSaleRequest{SaleId: sale}))(s.t).Sale.Items {
		if item.Sku == sku {
			return item
		}
	}
	s.t.Fatalf("%s has no %s", sale, sku)
	return nil
}

// stock fails the test unless an item has so many units available, held and sold.
func (s shop) stock(sale, sku string, available, held, sold int64) {
	s.t.Helper()
	if item := s.item(sale, sku); item.Available != available || item.Held != held || item.Sold != sold {
		s.t.Errorf("%v where %d are available, %d held, %d sold", item, available, held, sold)
	}
}

func lampsAlone(units int64) map[string]int64 { return map[string]int64{"lamp": units} }
