package inventoryv1

import _ "embed"

// ServiceConfig has gRPC repeat a call that ends UNAVAILABLE, up to three times, on a channel of these stubs alone:
//
//	grpc.NewClient(address, grpc.WithDefaultServiceConfig(inventoryv1.ServiceConfig), ...)
//
// It names every method but the streams. Each of them may be repeated with the same request, even where UNAVAILABLE
// leaves the outcome unknown. The client of package holdfast repeats calls by itself and needs none of it.
//
//go:embed service_config.json
var ServiceConfig string
