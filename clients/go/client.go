// Package holdfast is the Go client of Holdfast, an inventory service for flash sales.
//
// Each method of [Client] is one call of the API, whose messages and enums are in package holdfast/inventory/v1. A call
// that no server could judge is repeated with the same ids, which never does a thing twice. Sold out, like every other
// rejection, is an answer ([Outcome]); an error is for a call that could not be judged, or that the state does not
// allow ([Error]).
//
// Choose the ids yourself, before the first attempt, and keep them: then any call may be repeated, also by another
// process after a crash. A request must not be changed while a call with it is under way.
package holdfast

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	inventoryv1 "holdfast/inventory/v1"
)

const defaultChannels = 8

// Client calls one server over several connections, or several servers. Goroutines may share one.
type Client struct {
	*connections
	policy RetryPolicy
	budget *retryBudget
}

// stubs are the methods of both services on one connection.
type stubs struct {
	inventoryv1.InventoryServiceClient
	inventoryv1.InventoryAdminServiceClient
}

type connections struct {
	channels []*grpc.ClientConn
	stubs    []stubs
	turn     atomic.Uint32
	closed   atomic.Bool
	token    TokenSource
}

// TokenSource returns the token of one attempt, so that one which runs out can be replaced.
type TokenSource func(context.Context) (string, error)

type settings struct {
	channels    int
	policy      RetryPolicy
	token       TokenSource
	credentials credentials.TransportCredentials
	dialOptions []grpc.DialOption
}

// Option sets something of a client that is made.
type Option func(*settings)

// WithTransportCredentials encrypts the connections, with [credentials.NewTLS] for example. By default they are not.
func WithTransportCredentials(creds credentials.TransportCredentials) Option {
	return func(s *settings) { s.credentials = creds }
}

// WithToken sends a token with each attempt, as `authorization: Bearer`. [New] fails if it would go in plaintext to
// another machine; give [grpc.WithPerRPCCredentials] by [WithDialOptions] where something else encrypts it.
func WithToken(source TokenSource) Option { return func(s *settings) { s.token = source } }

// WithRetryPolicy sets how long and how often calls are repeated; start from [DefaultRetryPolicy].
func WithRetryPolicy(policy RetryPolicy) Option { return func(s *settings) { s.policy = policy } }

// WithChannels sets how many connections the servers share, 8 by default; each server has at least one.
func WithChannels(number int) Option { return func(s *settings) { s.channels = number } }

// WithUserAgent is put before gRPC's own.
func WithUserAgent(name string) Option { return WithDialOptions(grpc.WithUserAgent(name)) }

// WithDialOptions hands options of gRPC's own to every connection: interceptors, statistics, credentials of calls. They
// go before what this package sets.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dialOptions = append(s.dialOptions, options...) }
}

// New makes a client, which connects when it is first used. The address is host:port; several have commas between them.
// A proxy that the environment names is not used.
func New(address string, options ...Option) (*Client, error) {
	s := settings{channels: defaultChannels, policy: DefaultRetryPolicy(), credentials: insecure.NewCredentials()}
	for _, set := range options {
		set(&s)
	}
	servers := strings.Split(address, ",")
	for i, server := range servers {
		servers[i] = strings.TrimSpace(server)
		if !strings.Contains(servers[i], ":") {
			return nil, fmt.Errorf("holdfast: the address must be host:port, or several with commas between them, and is %q", address)
		}
		if s.token != nil && s.credentials.Info().SecurityProtocol == "insecure" && !onThisMachine(servers[i]) {
			return nil, fmt.Errorf("holdfast: a token would go in plaintext to %s", servers[i])
		}
	}
	shared := &connections{token: s.token}
	for range max(1, (s.channels+len(servers)-1)/len(servers)) {
		for _, server := range servers { // in turn, so that the next attempt goes to another
			channel, err := grpc.NewClient(server, s.dial()...)
			if err != nil {
				return nil, errors.Join(fmt.Errorf("holdfast: %w", err), shared.Close())
			}
			buyers, operators := inventoryv1.NewInventoryServiceClient(channel), inventoryv1.NewInventoryAdminServiceClient(channel)
			shared.channels = append(shared.channels, channel)
			shared.stubs = append(shared.stubs, stubs{buyers, operators})
		}
	}
	return &Client{connections: shared, policy: s.policy, budget: newRetryBudget(s.policy.RepeatsPerSecond)}, nil
}

// dial returns what every connection is told. A server process accepts calls connection by connection, and connections
// of gRPC's clients are never shared. gRPC's own retries do not read Holdfast's reasons, and would multiply with those
// of this package. A server takes a ping each ten seconds, which finds a connection that is dead.
func (s *settings) dial() []grpc.DialOption {
	reconnect := grpc.ConnectParams{
		Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
		MinConnectTimeout: 5 * time.Second,
	}
	ping := keepalive.ClientParameters{Time: 10 * time.Second, Timeout: 5 * time.Second, PermitWithoutStream: true}
	return append([]grpc.DialOption{
		grpc.WithTransportCredentials(s.credentials),
		grpc.WithConnectParams(reconnect),
		grpc.WithKeepaliveParams(ping),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	}, s.dialOptions...)
}

// WithPolicy returns the same client with another patience for some calls. It shares the connections, and closing either
// closes both. With another RepeatsPerSecond it has a budget of its own: make it once, and not for each call.
func (c *Client) WithPolicy(policy RetryPolicy) *Client {
	other := &Client{connections: c.connections, policy: policy, budget: c.budget}
	if policy.RepeatsPerSecond != c.policy.RepeatsPerSecond {
		other.budget = newRetryBudget(policy.RepeatsPerSecond)
	}
	return other
}

// Close closes the connections for good; calls that are under way, and later ones, end with [ErrClosed].
func (c *connections) Close() error {
	c.closed.Store(true)
	var failed []error
	for _, channel := range c.channels {
		failed = append(failed, channel.Close())
	}
	return errors.Join(failed...)
}

// server returns the stubs for an attempt, and those of another connection each time.
func (c *connections) server(turn uint32) stubs { return c.stubs[turn%uint32(len(c.stubs))] }

// outgoing returns the context of an attempt, which carries its token.
func (c *connections) outgoing(ctx context.Context) (context.Context, error) {
	if c.token == nil {
		return ctx, nil
	}
	token, err := c.token(ctx)
	if err == nil && strings.ContainsFunc(token, func(char rune) bool { return char < ' ' || char > '~' }) {
		err = errors.New("it has characters that no header can carry, such as a line break")
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token), err
}

func onThisMachine(server string) bool {
	host, _, err := net.SplitHostPort(server)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
