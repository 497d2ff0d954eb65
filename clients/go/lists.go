package holdfast

import (
	"context"
	"iter"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	inventoryv1 "holdfast/inventory/v1"
)

type page interface {
	comparable
	GetNextPageToken() string
}

// elements goes over a list from the page that the request names, and reads each page when it is needed. An error ends it.
func elements[Request proto.Message, Page page, Element any](
	ctx context.Context, list func(context.Context, Request) (Page, error), request Request, of func(Page) []Element,
) iter.Seq2[Element, error] {
	return func(yield func(Element, error) bool) {
		next := proto.Clone(request)
		tokenField := next.ProtoReflect().Descriptor().Fields().ByName("page_token")
		for {
			page, err := list(ctx, next.(Request))
			if err != nil {
				yield(*new(Element), err)
				return
			}
			for _, element := range of(page) {
				if !yield(element, nil) {
					return
				}
			}
			if page.GetNextPageToken() == "" {
				return
			}
			next.ProtoReflect().Set(tokenField, protoreflect.ValueOfString(page.GetNextPageToken()))
		}
	}
}

// ListReservations reads one page of the reservations of a buyer, of a sale, or with a reference.
func (c *Client) ListReservations(ctx context.Context, request *inventoryv1.ListReservationsRequest) (*inventoryv1.ListReservationsResponse, error) {
	return read(ctx, c, stubs.ListReservations, request)
}

// Reservations goes over the pages of [Client.ListReservations].
func (c *Client) Reservations(ctx context.Context, request *inventoryv1.ListReservationsRequest) iter.Seq2[*inventoryv1.Reservation, error] {
	return elements(ctx, c.ListReservations, request, (*inventoryv1.ListReservationsResponse).GetReservations)
}

// ListSales reads one page of the sales, without their items, which [Client.GetSale] has.
func (c *Client) ListSales(ctx context.Context, request *inventoryv1.ListSalesRequest) (*inventoryv1.ListSalesResponse, error) {
	return read(ctx, c, stubs.ListSales, request)
}

// Sales goes over the pages of [Client.ListSales].
func (c *Client) Sales(ctx context.Context, request *inventoryv1.ListSalesRequest) iter.Seq2[*inventoryv1.Sale, error] {
	return elements(ctx, c.ListSales, request, (*inventoryv1.ListSalesResponse).GetSales)
}

// ListAdjustments reads one page of the changes of a sale's stock.
func (c *Client) ListAdjustments(ctx context.Context, request *inventoryv1.ListAdjustmentsRequest) (*inventoryv1.ListAdjustmentsResponse, error) {
	return read(ctx, c, stubs.ListAdjustments, request)
}

// Adjustments goes over the pages of [Client.ListAdjustments].
func (c *Client) Adjustments(ctx context.Context, request *inventoryv1.ListAdjustmentsRequest) iter.Seq2[*inventoryv1.Adjustment, error] {
	return elements(ctx, c.ListAdjustments, request, (*inventoryv1.ListAdjustmentsResponse).GetAdjustments)
}

// ListDeadLetters reads one page of the orders that the ledger refused for good.
func (c *Client) ListDeadLetters(ctx context.Context, request *inventoryv1.ListDeadLettersRequest) (*inventoryv1.ListDeadLettersResponse, error) {
	return read(ctx, c, stubs.ListDeadLetters, request)
}

// DeadLetters goes over the pages of [Client.ListDeadLetters].
func (c *Client) DeadLetters(ctx context.Context, request *inventoryv1.ListDeadLettersRequest) iter.Seq2[*inventoryv1.DeadLetter, error] {
	return elements(ctx, c.ListDeadLetters, request, (*inventoryv1.ListDeadLettersResponse).GetDeadLetters)
}

// ListBlockedBuyers reads one page of the buyers who are blocked.
func (c *Client) ListBlockedBuyers(ctx context.Context, request *inventoryv1.ListBlockedBuyersRequest) (*inventoryv1.ListBlockedBuyersResponse, error) {
	return read(ctx, c, stubs.ListBlockedBuyers, request)
}

// BlockedBuyers goes over the pages of [Client.ListBlockedBuyers].
func (c *Client) BlockedBuyers(ctx context.Context, request *inventoryv1.ListBlockedBuyersRequest) iter.Seq2[*inventoryv1.BlockedBuyer, error] {
	return elements(ctx, c.ListBlockedBuyers, request, (*inventoryv1.ListBlockedBuyersResponse).GetBlockedBuyers)
}
