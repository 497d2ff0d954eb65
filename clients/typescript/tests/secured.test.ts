/**
 * What a shop does with servers that speak TLS and ask for tokens (HOLDFAST_TLS_ADDRESS) or for certificates
 * (HOLDFAST_MUTUAL_TLS_ADDRESS), by the calls of the README; the other variables name its files.
 */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";

import { type ChannelCredentials, credentials, Metadata, type ServiceError, status as codes } from "@grpc/grpc-js";

import { call } from "../calls.js";
import { type Failure, failureOf } from "../errors.js";
import * as admin from "../stubs/holdfast/inventory/v1/inventory_admin_service.js";
import * as shop from "../stubs/holdfast/inventory/v1/inventory_service.js";

const TIMEOUT_MS = 30_000;
const [TLS, MUTUAL] = [process.env["HOLDFAST_TLS_ADDRESS"], process.env["HOLDFAST_MUTUAL_TLS_ADDRESS"]];
const SKIP = TLS && MUTUAL ? false : "HOLDFAST_TLS_ADDRESS and HOLDFAST_MUTUAL_TLS_ADDRESS name no servers";
const GET_SALE = shop.GetSaleRequest.fromPartial({ saleId: "lamps" });

function file(variable: string): Buffer {
  return readFileSync(process.env[variable]!);
}

/** What a client with the token in a file connects with: it is read for each call, so that a new one counts. */
function withToken(variable: string): ChannelCredentials {
  const token = credentials.createFromMetadataGenerator((_, done) => {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${file(variable).toString().trim()}`);
    done(null, metadata);
  });
  return credentials.combineChannelCredentials(credentials.createSsl(file("HOLDFAST_CA_FILE")), token);
}

/** Make a sale of one lamp with these credentials, and reserve it: the outcomes of two buyers. */
async function outcomes(address: string, creds: ChannelCredentials) {
  const [operator, buyer] = [
    new admin.InventoryAdminServiceClient(address, creds),
    new shop.InventoryServiceClient(address, creds),
  ];
  try {
    const saleId = `ts-${randomUUID()}`;
    const sale = { saleId, items: [{ sku: "lamp", total: 1n }] };
    await call(operator, operator.createSale, admin.CreateSaleRequest.fromPartial({ sale }), TIMEOUT_MS);
    const lines = [{ sku: "lamp", quantity: 1n }];
    const found = [];
    for (const reservationId of ["r-1", "r-2"]) {
      const request = shop.ReserveRequest.fromPartial({ saleId, reservationId, buyerId: "anna", lines });
      found.push((await call(buyer, buyer.reserve, request, TIMEOUT_MS)).outcome?.$case);
    }
    return found;
  } finally {
    operator.close();
    buyer.close();
  }
}

/** How a call with these credentials fails: a unary one, and a watch. */
async function failures(address: string, creds: ChannelCredentials, timeoutMs = TIMEOUT_MS): Promise<Failure[]> {
  const client = new shop.InventoryServiceClient(address, creds);
  try {
    const unary = call(client, client.getSale, GET_SALE, timeoutMs).then(
      () => assert.fail("it was answered"),
      (error: ServiceError) => failureOf(error),
    );
    const watch = client.watchSale(shop.WatchSaleRequest.fromPartial({ saleId: "lamps" }), {
      deadline: Date.now() + timeoutMs,
    });
    const watched = new Promise<Failure>((resolve) => watch.on("error", (error) => resolve(failureOf(error as ServiceError))));
    watch.resume();
    return await Promise.all([unary, watched]);
  } finally {
    client.close();
  }
}

suite("a server with TLS", { skip: SKIP }, () => {
  test("a caller with a token buys", async () => {
    assert.deepEqual(await outcomes(TLS!, withToken("HOLDFAST_TOKEN_FILE")), ["reservation", "rejection"]);
  });

  test("a token that is missing or expired is a failure with a reason", async () => {
    const creds = {
      no_token: credentials.createSsl(file("HOLDFAST_CA_FILE")),
      expired: withToken("HOLDFAST_EXPIRED_TOKEN_FILE"),
    };
    for (const [problem, each] of Object.entries(creds)) {
      for (const failure of await failures(TLS!, each)) {
        assert.equal(failure.code, codes.UNAUTHENTICATED, failure.message);
        assert.equal(failure.reason, "ERROR_REASON_TOKEN_INVALID");
        assert.equal(failure.metadata["problem"], problem);
        assert.equal(failure.outcomeUnknown, false);
      }
    }
  });

  test("a certificate says who the caller is", async () => {
    const names = ["HOLDFAST_CA_FILE", "HOLDFAST_CLIENT_KEY_FILE", "HOLDFAST_CLIENT_CERT_FILE"] as const;
    const [authority, key, certificate] = names.map(file);
    const creds = credentials.createSsl(authority, key, certificate);

    assert.deepEqual(await outcomes(MUTUAL!, creds), ["reservation", "rejection"]);
  });

  test("without a certificate, and in plaintext, nothing is answered", async () => {
    const attempts: [string, ChannelCredentials][] = [
      [MUTUAL!, credentials.createSsl(file("HOLDFAST_CA_FILE"))],
      [TLS!, credentials.createInsecure()],
    ];
    for (const [address, creds] of attempts) {
      for (const failure of await failures(address, creds, 2_000)) {
        assert.ok([codes.UNAVAILABLE, codes.DEADLINE_EXCEEDED].includes(failure.code), failure.message);
        assert.equal(failure.reason, "");
      }
    }
  });
});
