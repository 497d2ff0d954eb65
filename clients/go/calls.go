package holdfast

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	inventoryv1 "holdfast/inventory/v1"
)

type unary[Request, Response any] func(stubs, context.Context, Request, ...grpc.CallOption) (Response, error)

// ask sends one request until it is answered or the patience is spent; each attempt goes over another connection.
func ask[Request proto.Message, Response any](
	ctx context.Context, c *Client, method unary[Request, Response], request Request, attempt time.Duration,
) (Response, error) {
	tries := newAttempts(ctx, c.policy, c.budget, attempt)
	for turn := c.turn.Add(1); ; turn++ {
		response, failed := try(ctx, c, method, request, turn, tries)
		if failed == nil {
			return response, nil
		}
		delay, again := tries.delayAfter(failed)
		if !again || !sleep(ctx, delay) {
			return response, failed.endedBy(ctx)
		}
	}
}

// try makes one attempt.
func try[Request proto.Message, Response any](
	ctx context.Context, c *Client, method unary[Request, Response], request Request, turn uint32, tries *attempts,
) (response Response, failed *Error) {
	limited, cancel := context.WithTimeout(ctx, tries.timeout())
	defer cancel()
	outgoing, failed := c.begin(limited, request)
	if failed != nil {
		return response, failed
	}
	response, err := method(c.server(turn), outgoing, request)
	if err != nil {
		return response, c.errorOf(err, request)
	}
	return response, nil
}

// begin returns the context of an attempt, or why there can be none; then nothing was sent.
func (c *Client) begin(ctx context.Context, request proto.Message) (context.Context, *Error) {
	if c.closed.Load() {
		return nil, ownError(codes.Canceled, ErrClosed, "The client is closed.", request, nil)
	}
	if err := ctx.Err(); err != nil {
		return nil, ownError(status.FromContextError(err).Code(), ErrNoAnswer, "The context has ended.", request, err)
	}
	outgoing, err := c.outgoing(ctx)
	if err != nil {
		text := "There is no token to send: " + err.Error()
		return nil, ownError(codes.Unauthenticated, ErrTokenUnavailable, text, request, err)
	}
	return outgoing, nil
}

// errorOf returns the typed error of an attempt that was sent.
func (c *Client) errorOf(err error, request proto.Message) *Error {
	failed := errorFrom(err, request)
	if failed.kind == ErrNoAnswer && c.closed.Load() {
		failed.kind, failed.Message = ErrClosed, "The client was closed during the call."
	}
	return failed
}

// write sends a request that changes something.
func write[Request proto.Message, Response any](
	ctx context.Context, c *Client, method unary[Request, Response], request Request,
) (Response, error) {
	return ask(ctx, c, method, request, c.policy.ledgerAttempt())
}

// read sends a request that changes nothing: nothing is unknown after it.
func read[Request proto.Message, Response any](
	ctx context.Context, c *Client, method unary[Request, Response], request Request,
) (Response, error) {
	response, err := ask(ctx, c, method, request, c.policy.ledgerAttempt())
	if failed, ok := err.(*Error); ok {
		failed.OutcomeUnknown = false
	}
	return response, err
}

// Outcome is the answer to a claim: exactly one of Reservation and Rejection is set. If neither is, the answer is newer
// than this version, and the buyer has no units.
type Outcome struct {
	Reservation *inventoryv1.Reservation // the buyer has the units
	Rejection   *inventoryv1.Rejection   // why not: sold out, for example, and whether to ask again
	Replayed    bool                     // it stood so before this call
	ReadTime    time.Time                // the shard's clock: what remains of a hold is its ExpireTime less this
}

// Held is whether the buyer has the units now: held or sold. A state that this version does not know is no claim.
func (o Outcome) Held() bool {
	state := o.Reservation.GetState()
	return state == inventoryv1.ReservationState_RESERVATION_STATE_HELD ||
		state == inventoryv1.ReservationState_RESERVATION_STATE_CONFIRMED
}

func outcomeOf(response *inventoryv1.ReserveResponse) Outcome {
	return Outcome{response.GetReservation(), response.GetRejection(), response.GetReplayed(), response.GetReadTime().AsTime()}
}

// Lines makes the lines of a request from SKU to units.
func Lines(units map[string]int64) []*inventoryv1.Line {
	lines := make([]*inventoryv1.Line, 0, len(units))
	for sku, quantity := range units {
		lines = append(lines, &inventoryv1.Line{Sku: sku, Quantity: quantity})
	}
	return lines
}

// Reserve holds units for a buyer, all lines or none. A repeat with the same reservation id hears what became of it.
func (c *Client) Reserve(ctx context.Context, request *inventoryv1.ReserveRequest) (Outcome, error) {
	// It asks Redis, and the ledger only about a sale that has left Redis: another server is asked the sooner.
	response, err := ask(ctx, c, stubs.Reserve, request, c.policy.Attempt)
	if err != nil {
		return Outcome{}, err
	}
	return outcomeOf(response), nil
}

// Confirm sells what is held, or with Partial some of it, and gives the rest back.
func (c *Client) Confirm(ctx context.Context, request *inventoryv1.ConfirmReservationRequest) (*inventoryv1.ConfirmReservationResponse, error) {
	return write(ctx, c, stubs.ConfirmReservation, request)
}

// Release gives back what is held; with SpendId it also ends an id whose Reserve got no answer.
func (c *Client) Release(ctx context.Context, request *inventoryv1.ReleaseReservationRequest) (*inventoryv1.ReleaseReservationResponse, error) {
	return write(ctx, c, stubs.ReleaseReservation, request)
}

// Extend lets a hold live for HoldTtl from its creation, cut to the sale's maximum; it never becomes shorter.
func (c *Client) Extend(ctx context.Context, request *inventoryv1.ExtendReservationRequest) (*inventoryv1.ExtendReservationResponse, error) {
	return write(ctx, c, stubs.ExtendReservation, request)
}

// Change sets what a hold holds, all lines or none; a rejection leaves it as it was.
func (c *Client) Change(ctx context.Context, request *inventoryv1.ChangeReservationRequest) (Outcome, error) {
	response, err := write(ctx, c, stubs.ChangeReservation, request)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{response.GetReservation(), response.GetRejection(), response.GetReplayed(), response.GetReadTime().AsTime()}, nil
}

// Return takes sold units back: all of them or, with Lines, until so many have come back in all.
func (c *Client) Return(ctx context.Context, request *inventoryv1.ReturnReservationRequest) (*inventoryv1.ReturnReservationResponse, error) {
	return write(ctx, c, stubs.ReturnReservation, request)
}

// GetReservation reads a reservation.
func (c *Client) GetReservation(ctx context.Context, request *inventoryv1.GetReservationRequest) (*inventoryv1.GetReservationResponse, error) {
	return read(ctx, c, stubs.GetReservation, request)
}

// GetSale reads a sale and its stock.
func (c *Client) GetSale(ctx context.Context, request *inventoryv1.GetSaleRequest) (*inventoryv1.GetSaleResponse, error) {
	return read(ctx, c, stubs.GetSale, request)
}

// CreateSale makes a sale with its items.
func (c *Client) CreateSale(ctx context.Context, request *inventoryv1.CreateSaleRequest) (*inventoryv1.CreateSaleResponse, error) {
	return write(ctx, c, stubs.CreateSale, request)
}

// UpdateSale changes the settings that the mask names, and adds items.
func (c *Client) UpdateSale(ctx context.Context, request *inventoryv1.UpdateSaleRequest) (*inventoryv1.UpdateSaleResponse, error) {
	return write(ctx, c, stubs.UpdateSale, request)
}

// PauseSale stops selling until ResumeSale; holds go on.
func (c *Client) PauseSale(ctx context.Context, request *inventoryv1.PauseSaleRequest) (*inventoryv1.PauseSaleResponse, error) {
	return write(ctx, c, stubs.PauseSale, request)
}

// ResumeSale sells again after PauseSale.
func (c *Client) ResumeSale(ctx context.Context, request *inventoryv1.ResumeSaleRequest) (*inventoryv1.ResumeSaleResponse, error) {
	return write(ctx, c, stubs.ResumeSale, request)
}

// CloseSale stops selling for good; with ReleaseHolds it also gives back all that is held, at this very moment.
func (c *Client) CloseSale(ctx context.Context, request *inventoryv1.CloseSaleRequest) (*inventoryv1.CloseSaleResponse, error) {
	return write(ctx, c, stubs.CloseSale, request)
}

// AdjustStock changes how many units of an item are on sale, once for each adjustment id.
func (c *Client) AdjustStock(ctx context.Context, request *inventoryv1.AdjustStockRequest) (*inventoryv1.AdjustStockResponse, error) {
	return write(ctx, c, stubs.AdjustStock, request)
}

// BlockBuyer rejects what a buyer asks for from now on.
func (c *Client) BlockBuyer(ctx context.Context, request *inventoryv1.BlockBuyerRequest) (*inventoryv1.BlockBuyerResponse, error) {
	return write(ctx, c, stubs.BlockBuyer, request)
}

// UnblockBuyer takes a block back; orders that were refused meanwhile stay refused.
func (c *Client) UnblockBuyer(ctx context.Context, request *inventoryv1.UnblockBuyerRequest) (*inventoryv1.UnblockBuyerResponse, error) {
	return write(ctx, c, stubs.UnblockBuyer, request)
}

// RevokeTokens makes tokens of the caller's tenant invalid. Set IssuedBefore: unset, a repeat takes it for its own now.
func (c *Client) RevokeTokens(ctx context.Context, request *inventoryv1.RevokeTokensRequest) (*inventoryv1.RevokeTokensResponse, error) {
	return write(ctx, c, stubs.RevokeTokens, request)
}

// ReplayDeadLetter reserves anew, under a new reservation id, what a refused order had. Keep the id: it finishes what an
// error interrupted.
func (c *Client) ReplayDeadLetter(ctx context.Context, request *inventoryv1.ReplayDeadLetterRequest) (Outcome, *inventoryv1.DeadLetter, error) {
	response, err := write(ctx, c, stubs.ReplayDeadLetter, request)
	if err != nil {
		return Outcome{}, nil, err
	}
	return outcomeOf(response.GetOutcome()), response.GetDeadLetter(), nil
}

// AuditSale compares Redis with the ledger while both go on working. It waits as long as a server may take.
func (c *Client) AuditSale(ctx context.Context, request *inventoryv1.AuditSaleRequest) (*inventoryv1.AuditSaleResponse, error) {
	policy := c.policy
	policy.Overall, policy.LedgerAttempt = policy.Audit, policy.Audit
	return read(ctx, c.WithPolicy(policy), stubs.AuditSale, request)
}
