package holdfast

import (
	"context"
	"io"
	"iter"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	inventoryv1 "holdfast/inventory/v1"
)

const window = 256 // requests that were taken and whose results the caller has not taken

// StreamReserve answers each request as [Client.Reserve] would, as the answers come, each with its request. It takes
// requests while its loop runs and fewer than 256 are without a result, and ends once they are closed and answered.
//
// What a server that stops has not answered goes on at another one, and what could not be judged is repeated. Every
// request that was taken has one result, also when the context ends; leaving the loop ends the call without them.
func (c *Client) StreamReserve(ctx context.Context, requests <-chan *inventoryv1.ReserveRequest) iter.Seq2[*inventoryv1.ReserveRequest, Result] {
	return func(yield func(*inventoryv1.ReserveRequest, Result) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel() // whatever ends the loop ends the streams
		s := &reserveStream{client: c, ctx: ctx, requests: requests, yield: yield, turn: c.turn.Add(1)}
		s.open, s.unanswered = map[*pending]bool{}, map[int64]*pending{}
		s.again, s.silence = make(chan *pending, window), time.NewTimer(time.Hour)
		s.silence.Stop()
		s.run()
	}
}

// reserveStream keeps a stream as long as there is something to send, and sends again what one that ended left open.
type reserveStream struct {
	client   *Client
	ctx      context.Context
	requests <-chan *inventoryv1.ReserveRequest // nil once they are closed
	yield    func(*inventoryv1.ReserveRequest, Result) bool
	isLeft   bool // the caller has left the loop

	open       map[*pending]bool // taken and without a final result
	unsent     []*pending
	again      chan *pending      // whose pause is over
	unanswered map[int64]*pending // on the present stream, by number
	sent       int64
	current    *openStream // nil while there is none
	silence    *time.Timer // for the next answer
	tries      *attempts   // at a stream, since the last answer
	pause      <-chan time.Time
	turn       uint32
}

// run is the one loop that touches the fields; the goroutines of a stream talk to it by channels.
func (s *reserveStream) run() {
	for !s.isLeft && (s.requests != nil || len(s.open) > 0) {
		s.sendAll()
		requests, answers := s.requests, (<-chan streamAnswer)(nil)
		if len(s.open) >= window {
			requests = nil
		}
		if s.current != nil {
			answers = s.current.answers
		}
		select {
		case request, more := <-requests:
			s.take(request, more)
		case item := <-s.again:
			s.unsent = append(s.unsent, item)
		case got := <-answers:
			s.answered(got)
		case <-s.silence.C:
			s.ended(noAnswer(codes.DeadlineExceeded, "No answer came."))
		case <-s.pause:
			s.pause = nil
		case <-s.ctx.Done():
			s.giveUp()
			return
		}
	}
	if !s.isLeft && s.current != nil {
		s.halfClose()
	}
}

func (s *reserveStream) take(request *inventoryv1.ReserveRequest, more bool) {
	if !more {
		s.requests = nil
		return
	}
	item := &pending{request: request}
	s.open[item] = true
	s.unsent = append(s.unsent, item)
}

// sendAll hands what is to be sent to the present stream, or begins one.
func (s *reserveStream) sendAll() {
	if len(s.unsent) == 0 || s.pause != nil {
		return
	}
	if s.current == nil {
		s.current = beginStream(s.ctx, s.client, s.turn)
		s.turn++
	}
	for _, item := range s.unsent {
		s.sent++
		s.unanswered[s.sent] = item
		s.current.put(&inventoryv1.StreamReserveRequest{CorrelationId: s.sent, Request: item.request})
	}
	if len(s.unanswered) == len(s.unsent) { // nothing was awaited before
		s.limitSilence()
	}
	s.unsent = nil
}

// answered gives an answer to the caller, or sends its request again later.
func (s *reserveStream) answered(got streamAnswer) {
	if got.answer == nil {
		s.ended(got.failed)
		return
	}
	s.tries = nil
	s.limitSilence()
	item := s.unanswered[got.answer.CorrelationId]
	if item == nil {
		return
	}
	delete(s.unanswered, got.answer.CorrelationId)
	item.take(got.answer.Result)
	if !item.mayRepeat() {
		s.finish(item)
	} else if delay, again := s.triesOf(item).delayAfter(item.failed); again {
		time.AfterFunc(delay, func() { s.again <- item }) // it has room for all that are open
	} else {
		s.finish(item)
	}
}

// ended pauses before the next stream, which begins with what this one left open; or gives that up.
func (s *reserveStream) ended(failed *Error) {
	s.current.cancel()
	s.current = nil
	s.silence.Stop()
	numbers := slices.Sorted(maps.Keys(s.unanswered))
	if len(numbers) == 0 {
		return
	}
	if s.tries == nil {
		s.tries = newAttempts(s.ctx, s.client.policy, nil, s.client.policy.ledgerAttempt())
	}
	ofStream := *failed
	delay, again := s.tries.delayAfter(&ofStream)
	if again {
		s.pause = time.After(delay)
	} else {
		s.tries = nil
	}
	left := s.unanswered
	s.unanswered = map[int64]*pending{}
	for _, number := range numbers {
		item := left[number]
		item.fail(failed)
		if again && !s.triesOf(item).areOver() {
			s.unsent = append(s.unsent, item)
		} else {
			s.finish(item)
		}
	}
}

func (s *reserveStream) triesOf(item *pending) *attempts {
	if item.tries == nil {
		item.tries = newAttempts(s.ctx, s.client.policy, s.client.budget, s.client.policy.ledgerAttempt())
	}
	return item.tries
}

// giveUp ends all that is open, since the context has ended.
func (s *reserveStream) giveUp() {
	err := s.ctx.Err()
	code := status.FromContextError(err).Code()
	for _, item := range s.unanswered {
		item.fail(noAnswer(code, "The context ended before an answer came."))
	}
	for item := range s.open {
		if item.failed == nil {
			item.fail(ownError(code, ErrNoAnswer, "The context ended before it was sent.", nil, err))
		}
		item.failed.endedBy(s.ctx)
		s.finish(item)
	}
}

// finish gives a result that is final to the caller.
func (s *reserveStream) finish(item *pending) {
	delete(s.open, item)
	if !s.isLeft {
		s.isLeft = !s.yield(item.request, item.result())
		s.limitSilence() // the caller may have taken its time
	}
}

// limitSilence waits for the next answer from now on.
func (s *reserveStream) limitSilence() {
	if s.current == nil || len(s.unanswered) == 0 {
		s.silence.Stop()
	} else {
		s.silence.Reset(s.client.policy.ledgerAttempt() + time.Second)
	}
}

// halfClose tells the server that there is no more, and waits for it to end the stream.
func (s *reserveStream) halfClose() {
	close(s.current.send)
	s.silence.Reset(s.client.policy.ledgerAttempt())
	for {
		select {
		case got := <-s.current.answers:
			if got.answer == nil {
				return
			}
		case <-s.silence.C:
			return
		case <-s.ctx.Done():
			return
		}
	}
}

// openStream is one StreamReserve, with a goroutine that reads it and one that writes it.
type openStream struct {
	ctx     context.Context
	cancel  context.CancelFunc
	send    chan *inventoryv1.StreamReserveRequest
	answers chan streamAnswer
}

// streamAnswer is an answer or, if there is none, how the stream ended.
type streamAnswer struct {
	answer *inventoryv1.StreamReserveResponse
	failed *Error
}

func beginStream(ctx context.Context, c *Client, turn uint32) *openStream {
	o := &openStream{send: make(chan *inventoryv1.StreamReserveRequest, window), answers: make(chan streamAnswer, window)}
	o.ctx, o.cancel = context.WithCancel(ctx)
	go o.read(c, turn)
	return o
}

func (o *openStream) read(c *Client, turn uint32) {
	outgoing, failed := c.begin(o.ctx, nil)
	if failed != nil {
		o.deliver(streamAnswer{failed: failed})
		return
	}
	stream, err := c.server(turn).StreamReserve(outgoing)
	if err == nil {
		go o.write(stream)
	}
	for err == nil {
		var answer *inventoryv1.StreamReserveResponse
		if answer, err = stream.Recv(); err == nil {
			o.deliver(streamAnswer{answer: answer})
		}
	}
	if err == io.EOF {
		o.deliver(streamAnswer{failed: noAnswer(codes.Unavailable, "The server ended the stream.")})
		return
	}
	o.deliver(streamAnswer{failed: c.errorOf(err, nil)})
}

func (o *openStream) write(stream inventoryv1.InventoryService_StreamReserveClient) {
	for {
		select {
		case request, more := <-o.send:
			if !more {
				_ = stream.CloseSend()
				return
			}
			if stream.Send(request) != nil {
				return // its reader knows why
			}
		case <-o.ctx.Done():
			return
		}
	}
}

// put and deliver do not block as long as a server answers what it was asked: the window bounds both.
func (o *openStream) put(request *inventoryv1.StreamReserveRequest) {
	select {
	case o.send <- request:
	case <-o.ctx.Done():
	}
}

func (o *openStream) deliver(got streamAnswer) {
	select {
	case o.answers <- got:
	case <-o.ctx.Done():
	}
}

// noAnswer returns the error of something that was sent.
func noAnswer(code codes.Code, message string) *Error {
	failed := ownError(code, ErrNoAnswer, message, nil, nil)
	failed.OutcomeUnknown = true
	return failed
}
