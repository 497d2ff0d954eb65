package holdfast

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	inventoryv1 "holdfast/inventory/v1"
)

// A server that sends nothing for longer is taken for lost.
const (
	saleQuiet        = 35 * time.Second  // a server sends a message at least once in 15 seconds
	reservationQuiet = 300 * time.Second // a server ends each watch before that
)

// WatchSale sends a sale, now and as it changes, until it is closed and nothing in it is held. A snapshot has all items,
// the messages after it those that have changed; all numbers are absolute.
//
// Where a server stops or is lost, the next one is asked, and its first message is a snapshot again. An error ends the
// watch: NOT_FOUND, or one that outlasts the patience, which is for the time without a message. Leaving the loop, or the
// end of the context, ends the call.
func (c *Client) WatchSale(ctx context.Context, request *inventoryv1.WatchSaleRequest) iter.Seq2[*inventoryv1.WatchSaleResponse, error] {
	return watch(ctx, c, stubs.WatchSale, request, saleQuiet)
}

// WatchReservation sends a reservation, now and after each change, until the ledger has it and it is not held. It goes
// on and ends as [Client.WatchSale] does.
func (c *Client) WatchReservation(ctx context.Context, request *inventoryv1.WatchReservationRequest) iter.Seq2[*inventoryv1.WatchReservationResponse, error] {
	return watch(ctx, c, stubs.WatchReservation, request, reservationQuiet)
}

type streaming[Request, Response any] func(stubs, context.Context, Request, ...grpc.CallOption) (grpc.ServerStreamingClient[Response], error)

var errQuiet = errors.New("no message came in time")

func watch[Request proto.Message, Response any](
	ctx context.Context, c *Client, method streaming[Request, Response], request Request, quiet time.Duration,
) iter.Seq2[*Response, error] {
	return func(yield func(*Response, error) bool) {
		tries := newAttempts(ctx, c.policy, nil, c.policy.ledgerAttempt())
		for turn := c.turn.Add(1); ; turn++ {
			isLeft := false
			failed := watchOnce(ctx, c, method, request, turn, tries.timeout(), quiet, func(message *Response) bool {
				tries = nil // the patience begins anew
				isLeft = !yield(message, nil)
				return !isLeft
			})
			if failed == nil || isLeft {
				return
			}
			failed.OutcomeUnknown = false // it only reads
			if tries == nil {
				tries = newAttempts(ctx, c.policy, nil, c.policy.ledgerAttempt())
			}
			delay, again := tries.delayAfter(failed)
			if !again || !sleep(ctx, delay) {
				yield(nil, failed.endedBy(ctx))
				return
			}
		}
	}
}

// watchOnce takes the messages of one server, the first of which must come within `first`. It returns nil once there are
// no more, or once `take` wants none.
func watchOnce[Request proto.Message, Response any](
	ctx context.Context, c *Client, method streaming[Request, Response], request Request, turn uint32,
	first, quiet time.Duration, take func(*Response) bool,
) *Error {
	limited, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(first, func() { cancel(errQuiet) })
	defer silence.Stop()
	outgoing, failed := c.begin(limited, request)
	if failed != nil {
		return failed
	}
	stream, err := method(c.server(turn), outgoing, request)
	for err == nil {
		var message *Response
		if message, err = stream.Recv(); err == nil {
			silence.Stop() // the caller may take its time
			if !take(message) {
				return nil
			}
			silence.Reset(quiet)
		}
	}
	if err == io.EOF {
		return nil
	}
	if context.Cause(limited) == errQuiet {
		return ownError(codes.DeadlineExceeded, ErrNoAnswer, "No message came in time.", request, nil)
	}
	return c.errorOf(err, request)
}
