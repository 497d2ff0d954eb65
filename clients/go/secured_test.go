package holdfast_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"holdfast"
	inventoryv1 "holdfast/inventory/v1"
)

// These tests drive servers with TLS, one of which asks for tokens and the other for certificates. They are skipped
// unless HOLDFAST_TLS_ADDRESS and HOLDFAST_MUTUAL_TLS_ADDRESS name them; the other variables name their callers' files.

func variable(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Skip(name + " is not set")
	}
	return value
}

// secured is a client of a server that the variable names, with the authority that signed the server's certificate.
func secured(t *testing.T, addressVariable string, certificates []tls.Certificate, options ...holdfast.Option) shop {
	t.Helper()
	at, authorities := variable(t, addressVariable), x509.NewCertPool()
	if pem := must(os.ReadFile(variable(t, "HOLDFAST_CA_FILE")))(t); !authorities.AppendCertsFromPEM(pem) {
		t.Fatal("there is no certificate in the file")
	}
	creds := credentials.NewTLS(&tls.Config{RootCAs: authorities, Certificates: certificates})
	client := must(holdfast.New(at, append(options, holdfast.WithTransportCredentials(creds))...))(t)
	t.Cleanup(func() { _ = client.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return shop{client, t, ctx}
}

// fromFile reads the token for each attempt, so that a new one in the file counts.
func fromFile(path string) holdfast.Option {
	return holdfast.WithToken(func(context.Context) (string, error) {
		token, err := os.ReadFile(path)
		return strings.TrimSpace(string(token)), err
	})
}

func TestSecuredACallerWithATokenBuys(t *testing.T) {
	s := secured(t, "HOLDFAST_TLS_ADDRESS", nil, fromFile(variable(t, "HOLDFAST_TOKEN_FILE")))
	sale := s.newSale(lampsAlone(1))

	if !s.reserve(sale, "r-1", lampsAlone(1)).Held() || s.reserve(sale, "r-2", lampsAlone(1)).Held() {
		t.Error("one lamp, and one buyer of it")
	}
}

func TestSecuredATokenThatIsNotValidIsATypedErrorAtOnce(t *testing.T) {
	for problem, options := range map[string][]holdfast.Option{
		"no_token": nil,
		"expired":  {fromFile(variable(t, "HOLDFAST_EXPIRED_TOKEN_FILE"))},
	} {
		t.Run(problem, func(t *testing.T) {
			s := secured(t, "HOLDFAST_TLS_ADDRESS", nil, options...)
			began := time.Now()

			_, err := s.GetSale(s.ctx, &inventoryv1.GetSaleRequest{SaleId: "lamps"})
			var streamed error
			for _, streamed = range s.WatchSale(s.ctx, &inventoryv1.WatchSaleRequest{SaleId: "lamps"}) {
			}

			for _, each := range []error{err, streamed} {
				var failed *holdfast.Error
				if !errors.As(each, &failed) || !errors.Is(each, holdfast.ErrNotAllowed) || failed.Code != codes.Unauthenticated {
					t.Fatal(each)
				}
				if failed.Reason != inventoryv1.ErrorReason_ERROR_REASON_TOKEN_INVALID || failed.Metadata["problem"] != problem || failed.OutcomeUnknown {
					t.Error(each)
				}
			}
			if took := time.Since(began); took > holdfast.DefaultRetryPolicy().Overall {
				t.Error("it was repeated", took)
			}
		})
	}
}

func TestSecuredACertificateSaysWhoTheCallerIs(t *testing.T) {
	files := [2]string{variable(t, "HOLDFAST_CLIENT_CERT_FILE"), variable(t, "HOLDFAST_CLIENT_KEY_FILE")}
	pair := must(tls.LoadX509KeyPair(files[0], files[1]))(t)
	s := secured(t, "HOLDFAST_MUTUAL_TLS_ADDRESS", []tls.Certificate{pair})
	sale := s.newSale(lampsAlone(1))

	if !s.reserve(sale, "r-1", lampsAlone(1)).Held() {
		t.Error("not held")
	}
}

func TestSecuredAConnectionThatIsNotMadeIsNoAnswer(t *testing.T) {
	policy := holdfast.DefaultRetryPolicy()
	policy.Overall = time.Second
	for name, at := range map[string]string{"no certificate": "HOLDFAST_MUTUAL_TLS_ADDRESS", "a plaintext client": ""} {
		t.Run(name, func(t *testing.T) {
			var s shop
			if at == "" {
				client := must(holdfast.New(variable(t, "HOLDFAST_TLS_ADDRESS")))(t)
				defer client.Close()
				s = shop{client, t, context.Background()}
			} else {
				s = secured(t, at, nil)
			}

			_, err := s.WithPolicy(policy).GetSale(s.ctx, &inventoryv1.GetSaleRequest{SaleId: "lamps"})

			if !errors.Is(err, holdfast.ErrNoAnswer) || !errors.Is(err, holdfast.ErrTryLater) {
				t.Error(err)
			}
		})
	}
}
