/** A server of this process whose answers a test writes down, for what a running Holdfast does not do on request. */

import {
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceError,
  type status as codes,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";

import { ErrorInfo } from "../stubs/google/rpc/error_details.js";
import { Status } from "../stubs/google/rpc/status.js";
import { InventoryServiceClient, InventoryServiceService } from "../stubs/holdfast/inventory/v1/inventory_service.js";

/** A client of a server with these methods, while `use` runs. */
export async function withServer(
  methods: UntypedServiceImplementation,
  options: Record<string, string>,
  use: (client: InventoryServiceClient) => Promise<void>,
): Promise<void> {
  const server = new Server();
  server.addService(InventoryServiceService, methods);
  const port = await new Promise<number>((resolve, reject) => {
    const insecure = ServerCredentials.createInsecure();
    server.bindAsync("127.0.0.1:0", insecure, (error, bound) => (error ? reject(error) : resolve(bound)));
  });
  const client = new InventoryServiceClient(`127.0.0.1:${port}`, credentials.createInsecure(), options);
  try {
    await use(client);
  } finally {
    client.close();
    server.forceShutdown();
  }
}

/** A status as a server sends it: with a reason of Holdfast, or without, as gRPC itself and proxies do. */
export function failing(code: codes, reason = "", domain = "holdfast.inventory"): Partial<ServiceError> {
  const metadata = new Metadata();
  if (reason) {
    const info = ErrorInfo.fromPartial({ reason, domain, metadata: { sale_id: "lamps" } });
    const detail = { typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value: ErrorInfo.encode(info).finish() };
    const status = Status.fromPartial({ code, details: [detail] });
    metadata.set("grpc-status-details-bin", Buffer.from(Status.encode(status).finish()));
  }
  return { code, details: "as the test wants it", metadata };
}
