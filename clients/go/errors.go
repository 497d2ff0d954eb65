package holdfast

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	inventoryv1 "holdfast/inventory/v1"
)

const (
	domain       = "holdfast.inventory"
	reasonPrefix = "ERROR_REASON_"
)

// The kinds of errors, for [errors.Is]. The Reason of an [Error] tells more.
var (
	// ErrInvalidRequest: fields are out of bounds, or the request is unreadable; Violations names the fields.
	ErrInvalidRequest = errors.New("invalid request")
	// ErrNotBuilt: the server does not implement this call or field.
	ErrNotBuilt = errors.New("not built")
	// ErrNotFound: a sale, item, reservation or dead letter does not exist.
	ErrNotFound = errors.New("not found")
	// ErrIDReused: the id was used before for something else.
	ErrIDReused = errors.New("id reused")
	// ErrWrongState: the state does not allow the call. Reservation is what stands, if it is about one.
	ErrWrongState = errors.New("wrong state")
	// ErrOutdated: the data changed since the caller read it. Reservation is what stands, if it is about one.
	ErrOutdated = errors.New("outdated")
	// ErrNotAllowed: the caller may not do this.
	ErrNotAllowed = errors.New("not allowed")
	// ErrTokenUnavailable: the [TokenSource] failed, with an error that this wraps. It is an ErrNotAllowed too.
	ErrTokenUnavailable = errors.New("token unavailable")
	// ErrTryLater: the server cannot answer now. Repeat with the same ids.
	ErrTryLater = errors.New("try later")
	// ErrNoAnswer: no answer of the service came. It is an ErrTryLater too.
	ErrNoAnswer = errors.New("no answer")
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("client closed")
	// ErrOutcomeUnknown: it may have been done nevertheless. Repeat with the same ids, which tells.
	ErrOutcomeUnknown = errors.New("outcome unknown")
)

var kindOf = map[codes.Code]error{
	codes.InvalidArgument:    ErrInvalidRequest,
	codes.Unimplemented:      ErrNotBuilt,
	codes.NotFound:           ErrNotFound,
	codes.AlreadyExists:      ErrIDReused,
	codes.FailedPrecondition: ErrWrongState,
	codes.Aborted:            ErrOutdated,
	codes.Unauthenticated:    ErrNotAllowed,
	codes.PermissionDenied:   ErrNotAllowed,
	codes.ResourceExhausted:  ErrTryLater,
	codes.Unavailable:        ErrTryLater,
	codes.DeadlineExceeded:   ErrTryLater,
}

// The codes with which gRPC itself, or a proxy, says that the call was not begun. RESOURCE_EXHAUSTED means then that a
// message is too large, which no repeat changes.
var notBegun = map[codes.Code]error{
	codes.Unimplemented:     ErrNotBuilt,
	codes.ResourceExhausted: nil,
	codes.Unauthenticated:   ErrNotAllowed,
	codes.PermissionDenied:  ErrNotAllowed,
}

var idFields = []struct{ kind, field string }{
	{"adjustment", "adjustment_id"},
	{"reservation", "reservation_id"},
	{"item", "sku"},
	{"sale", "sale_id"},
	{"dead letter", "dead_letter_id"},
	{"buyer", "buyer_id"},
}

var wider = map[error]error{ErrTokenUnavailable: ErrNotAllowed, ErrNoAnswer: ErrTryLater}

// Error is the failure of a call, and what every method of this package fails with. [errors.Is] takes a kind, and
// [context.Canceled] or [context.DeadlineExceeded] where the context or the patience ended it; [status.Code] works too.
type Error struct {
	Code           codes.Code
	Message        string
	Reason         inventoryv1.ErrorReason  // UNSPECIFIED if gRPC made the status, or if this version does not know it
	ReasonName     string                   // as the server spelled it; empty if gRPC made the status
	Metadata       map[string]string        // what the reason's comment lists
	RetryAfter     time.Duration            // the pause that the server asks for; 0: it asks for none
	Reservation    *inventoryv1.Reservation // its present state, where the reason is about its state
	Violations     map[string]string        // field to what is wrong with it
	IDs            map[string]string        // those of the request: `sale_id`, `reservation_id` and others
	OutcomeUnknown bool                     // it may have been done nevertheless; never set for what only reads

	kind  error
	cause error
}

func (e *Error) Error() string {
	text := "holdfast: "
	if about := e.about(); about != "" {
		text += about + ": "
	}
	text += e.Message
	for _, field := range slices.Sorted(maps.Keys(e.Violations)) {
		text += " " + field + ": " + e.Violations[field] + "."
	}
	facts := []string{strings.TrimPrefix(e.ReasonName, reasonPrefix)}
	if e.ReasonName == "" {
		facts[0] = e.Code.String()
	}
	for _, name := range slices.Sorted(maps.Keys(e.Metadata)) {
		if _, told := e.IDs[name]; !told {
			facts = append(facts, name+" "+e.Metadata[name])
		}
	}
	if e.OutcomeUnknown {
		facts = append(facts, ErrOutcomeUnknown.Error())
	}
	return text + " [" + strings.Join(facts, ", ") + "]"
}

// about is what the call was about, such as "reservation r-1 of sale lamps".
func (e *Error) about() string {
	var parts []string
	for _, each := range idFields {
		if id := e.IDs[each.field]; id != "" && (each.field != "buyer_id" || len(parts) == 0) {
			parts = append(parts, each.kind+" "+id)
		}
	}
	return strings.Join(parts, " of ")
}

// Is makes [errors.Is] take the kinds.
func (e *Error) Is(target error) bool {
	return target == e.kind || target == wider[e.kind] && target != nil || target == ErrOutcomeUnknown && e.OutcomeUnknown
}

// Unwrap returns the error of the context or of the [TokenSource], where that ended the call.
func (e *Error) Unwrap() error { return e.cause }

// GRPCStatus returns code and message, for [status.FromError].
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// repeatable is whether the same request may succeed later.
func (e *Error) repeatable() bool { return e.Is(ErrTryLater) }

// judged is whether the server looked at the state, which shows what earlier attempts of the call did.
func (e *Error) judged() bool {
	return e.kind == ErrNotFound || e.kind == ErrIDReused || e.kind == ErrWrongState || e.kind == ErrOutdated
}

// errorFrom returns the typed error of a failed attempt: by its reason, or by what gRPC means by the code.
func errorFrom(failure error, request proto.Message) *Error {
	return errorFromStatus(status.Convert(failure), request)
}

func errorFromStatus(failed *status.Status, request proto.Message) *Error {
	e := &Error{Code: failed.Code(), Message: failed.Message(), IDs: idsOf(request)}
	for _, detail := range failed.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.Domain == domain {
				e.ReasonName, e.Metadata = detail.Reason, detail.Metadata
			}
		case *errdetails.RetryInfo:
			e.RetryAfter = detail.RetryDelay.AsDuration()
		case *errdetails.BadRequest:
			e.Violations = map[string]string{}
			for _, violation := range detail.FieldViolations {
				e.Violations[violation.Field] = violation.Description
			}
		case *inventoryv1.Reservation:
			e.Reservation = detail
		}
	}
	e.Reason = inventoryv1.ErrorReason(inventoryv1.ErrorReason_value[e.ReasonName])
	e.kind = kindOf[e.Code]
	e.OutcomeUnknown = e.Reason == inventoryv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN
	if e.ReasonName == "" {
		kind, known := notBegun[e.Code]
		if e.kind = kind; !known {
			e.kind, e.OutcomeUnknown = ErrNoAnswer, true
		}
	}
	return e
}

// ownError returns an error that this package makes.
func ownError(code codes.Code, kind error, message string, request proto.Message, cause error) *Error {
	return &Error{Code: code, Message: message, IDs: idsOf(request), kind: kind, cause: cause}
}

// endedBy notes what ended a call that could have been repeated: the context, or a deadline.
func (e *Error) endedBy(ctx context.Context) *Error {
	switch {
	case e.cause != nil || !e.repeatable():
	case ctx.Err() != nil:
		e.cause = ctx.Err()
	case e.Code == codes.DeadlineExceeded:
		e.cause = context.DeadlineExceeded
	}
	return e
}

// idsOf returns the ids that a request names, by field. One about the settings of a sale has them in its field `sale`.
func idsOf(request proto.Message) map[string]string {
	ids := map[string]string{}
	if request == nil {
		return ids
	}
	if about, ok := request.(interface{ GetSale() *inventoryv1.Sale }); ok {
		request = about.GetSale()
	}
	message := request.ProtoReflect()
	for _, each := range idFields {
		if field := message.Descriptor().Fields().ByName(protoreflect.Name(each.field)); field != nil && message.Has(field) {
			ids[each.field] = message.Get(field).String()
		}
	}
	return ids
}
