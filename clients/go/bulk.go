package holdfast

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	inventoryv1 "holdfast/inventory/v1"
)

const maxBatch = 500 // requests that a server takes in one call

// Result is what one of many requests came to: an answer, or the error that [Client.Reserve] would have had.
type Result struct {
	Outcome Outcome
	Err     error
}

// pending is one of many requests, and what it has come to.
type pending struct {
	request *inventoryv1.ReserveRequest
	outcome Outcome
	failed  *Error // of its latest attempt
	doubt   doubt
	tries   *attempts // from its first failure on, where it is repeated by itself
}

func (p *pending) result() Result {
	if p.failed != nil {
		return Result{Err: p.failed}
	}
	return Result{Outcome: p.outcome}
}

func (p *pending) mayRepeat() bool { return p.failed != nil && p.failed.repeatable() }

// take takes the answer of a server.
func (p *pending) take(result *inventoryv1.ReserveResult) {
	switch {
	case result.GetResponse() != nil:
		p.outcome, p.failed = outcomeOf(result.GetResponse()), nil
	case result.GetStatus() != nil:
		p.fail(errorFromStatus(status.FromProto(result.GetStatus()), p.request))
	default:
		unknown := ownError(codes.Unknown, nil, "The answer is none that this client knows.", p.request, nil)
		unknown.OutcomeUnknown = true
		p.fail(unknown)
	}
}

// fail takes the error of an attempt, which is told whether an attempt before it may have done what is asked.
func (p *pending) fail(failed *Error) {
	about := *failed // one error is about many requests where their call failed as a whole
	about.IDs = idsOf(p.request)
	p.doubt.add(&about)
	p.failed = &about
}

// BatchReserve answers each request as [Client.Reserve] would, in their order. What could not be judged is repeated, as
// far as the patience goes. More than 500 are sent in several calls, one after the other, each with the patience of one.
func (c *Client) BatchReserve(ctx context.Context, requests []*inventoryv1.ReserveRequest) []Result {
	results := make([]Result, 0, len(requests))
	for first := 0; first < len(requests); first += maxBatch {
		batch := make([]*pending, 0, maxBatch)
		for _, request := range requests[first:min(first+maxBatch, len(requests))] {
			batch = append(batch, &pending{request: request})
		}
		c.judge(ctx, batch)
		for _, item := range batch {
			results = append(results, item.result())
		}
	}
	return results
}

// judge sends these requests, and again those that could not be judged.
func (c *Client) judge(ctx context.Context, items []*pending) {
	tries := newAttempts(ctx, c.policy, c.budget, c.policy.ledgerAttempt())
	for turn := c.turn.Add(1); ; turn++ {
		c.judgeOnce(ctx, items, turn, tries)
		var open []*pending
		for _, item := range items {
			if item.mayRepeat() {
				open = append(open, item)
			}
		}
		if len(open) == 0 {
			return
		}
		items = open
		delay, again := tries.delayAfter(longestPause(items))
		if !again || !sleep(ctx, delay) {
			for _, item := range items {
				item.failed.endedBy(ctx)
			}
			return
		}
	}
}

// judgeOnce sends these requests in one call; each takes its own answer, or the error of the call.
func (c *Client) judgeOnce(ctx context.Context, items []*pending, turn uint32, tries *attempts) {
	batch := &inventoryv1.BatchReserveRequest{}
	for _, item := range items {
		batch.Requests = append(batch.Requests, item.request)
	}
	response, failed := try(ctx, c, stubs.BatchReserve, batch, turn, tries)
	for number, item := range items {
		switch {
		case failed != nil:
			item.fail(failed)
		case number < len(response.Results):
			item.take(response.Results[number])
		default:
			item.take(nil)
		}
	}
}

// longestPause returns one error for all that are repeated together.
func longestPause(items []*pending) *Error {
	longest := *items[0].failed
	for _, item := range items {
		longest.RetryAfter = max(longest.RetryAfter, item.failed.RetryAfter)
	}
	return &longest
}
