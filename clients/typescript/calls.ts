/** Makes a unary call as a promise, with a deadline: the generated clients take a callback, and wait for ever. */

import { type CallOptions, type Client, type ClientUnaryCall, Metadata, type ServiceError } from "@grpc/grpc-js";

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/** Call a method of a client: `await call(shop, shop.reserve, request, 10_000)`; rejects with a `ServiceError`. */
export function call<Request, Response>(
  client: Client,
  method: Method<Request, Response>,
  request: Request,
  timeoutMs: number,
  metadata = new Metadata(),
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + timeoutMs };
    method.call(client, request, metadata, options, (error, response) => (error ? reject(error) : resolve(response)));
  });
}
