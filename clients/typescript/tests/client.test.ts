/** What the stubs, the service config and the reader of errors do with answers that the tests write down. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { suite, test } from "node:test";

import {
  Metadata,
  type sendUnaryData,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  status as codes,
} from "@grpc/grpc-js";

import { call } from "../calls.js";
import { failureOf } from "../errors.js";
import {
  GetReservationRequest,
  GetReservationResponse,
  type InventoryServiceClient,
  WatchSaleRequest,
  type WatchSaleResponse,
} from "../stubs/holdfast/inventory/v1/inventory_service.js";
import { LedgerState, ReservationState } from "../stubs/holdfast/inventory/v1/reservation.js";
import { failing, withServer } from "./fake_server.js";

const CONFIG = readFileSync(new URL("../../stubs/service_config.json", import.meta.url), "utf8");
const OPTIONS = { "grpc.service_config": CONFIG };
const REQUEST = GetReservationRequest.fromPartial({ saleId: "lamps", reservationId: "r-1" });
const NEW_STATE = 99; // of a server that is newer than these stubs

type Answer = Partial<ServiceError> | GetReservationResponse;

/** A method that gives one answer after the other, and the last one for ever. */
function answering(...answers: Answer[]) {
  const method = (
    _: ServerUnaryCall<GetReservationRequest, GetReservationResponse>,
    callback: sendUnaryData<GetReservationResponse>,
  ) => {
    const answer = answers[Math.min(method.attempts++, answers.length - 1)]!;
    if ("code" in answer) callback(answer, null);
    else callback(null, answer as GetReservationResponse);
  };
  method.attempts = 0;
  return method;
}

/** Ask for the reservation. */
function ask(client: InventoryServiceClient): Promise<GetReservationResponse> {
  return call(client, client.getReservation, REQUEST, 10_000);
}

const held = GetReservationResponse.fromPartial({
  reservation: { saleId: "lamps", state: ReservationState.RESERVATION_STATE_HELD, revision: 2n ** 63n - 1n },
});

suite("repeats by the service config", () => {
  test("a call that a server cannot take is repeated, and answered", async () => {
    const getReservation = answering(failing(codes.UNAVAILABLE), failing(codes.UNAVAILABLE), held);

    await withServer({ getReservation }, OPTIONS, async (client) => {
      assert.deepEqual(await ask(client), held);
    });
    assert.equal(getReservation.attempts, 3);
  });

  test("it is repeated three times at most", async () => {
    const getReservation = answering(failing(codes.UNAVAILABLE));

    await withServer({ getReservation }, OPTIONS, async (client) => {
      await assert.rejects(ask(client), { code: codes.UNAVAILABLE });
    });
    assert.equal(getReservation.attempts, 4);
  });

  test("nothing else is repeated", async () => {
    for (const code of [codes.FAILED_PRECONDITION, codes.ABORTED, codes.RESOURCE_EXHAUSTED, codes.DEADLINE_EXCEEDED]) {
      const getReservation = answering(failing(code));

      await withServer({ getReservation }, OPTIONS, async (client) => {
        await assert.rejects(ask(client), { code });
      });
      assert.equal(getReservation.attempts, 1);
    }
  });

  test("a stream is never repeated", async () => {
    let attempts = 0;
    const watchSale = (watch: ServerWritableStream<WatchSaleRequest, WatchSaleResponse>) => {
      attempts += 1;
      watch.emit("error", failing(codes.UNAVAILABLE));
    };

    await withServer({ watchSale }, OPTIONS, async (client) => {
      const watch = client.watchSale(WatchSaleRequest.fromPartial({ saleId: "lamps" }));
      await assert.rejects(watch.toArray(), { code: codes.UNAVAILABLE });
    });
    assert.equal(attempts, 1);
  });
});

suite("what an error says", () => {
  /** What the caller reads after these answers. */
  async function failureAfter(...answers: Answer[]) {
    let failure: ReturnType<typeof failureOf> | undefined;
    await withServer({ getReservation: answering(...answers) }, OPTIONS, async (client) => {
      failure = await ask(client).then(
        () => assert.fail("it was answered"),
        (error) => failureOf(error),
      );
    });
    return failure!;
  }

  test("the reason and its metadata", async () => {
    const failure = await failureAfter(failing(codes.NOT_FOUND, "ERROR_REASON_SALE_NOT_FOUND"));

    assert.equal(failure.reason, "ERROR_REASON_SALE_NOT_FOUND");
    assert.deepEqual(failure.metadata, { sale_id: "lamps" });
    assert.equal(failure.outcomeUnknown, false);
  });

  test("a reason that is newer than this client is told as it came, and one of another service is none", async () => {
    assert.equal((await failureAfter(failing(codes.ABORTED, "ERROR_REASON_NEW"))).reason, "ERROR_REASON_NEW");
    assert.equal((await failureAfter(failing(codes.ABORTED, "ERROR_REASON_NEW", "proxy"))).reason, "");
  });

  test("without a reason the outcome is unknown, but for the codes of calls that were not begun", async () => {
    const begun = [codes.UNKNOWN, codes.INTERNAL, codes.DEADLINE_EXCEEDED, codes.CANCELLED, codes.NOT_FOUND];
    const notBegun = [codes.UNIMPLEMENTED, codes.RESOURCE_EXHAUSTED, codes.UNAUTHENTICATED, codes.PERMISSION_DENIED];

    for (const code of begun) assert.equal((await failureAfter(failing(code))).outcomeUnknown, true);
    for (const code of notBegun) assert.equal((await failureAfter(failing(code))).outcomeUnknown, false);
  });

  test("an attempt before leaves the outcome unknown, until the server looks at the state", async () => {
    const lost = failing(codes.UNAVAILABLE);
    const overloaded = failing(codes.RESOURCE_EXHAUSTED, "ERROR_REASON_OVERLOADED");
    const ended = failing(codes.FAILED_PRECONDITION, "ERROR_REASON_WRONG_RESERVATION_STATE");

    assert.equal((await failureAfter(overloaded)).outcomeUnknown, false);
    assert.equal((await failureAfter(lost, overloaded)).outcomeUnknown, true);
    assert.equal((await failureAfter(lost, ended)).outcomeUnknown, false);
  });
});

test("the metadata of a caller, such as its token, is sent", async () => {
  let sent: unknown[] = [];
  const getReservation = (
    asked: ServerUnaryCall<GetReservationRequest, GetReservationResponse>,
    callback: sendUnaryData<GetReservationResponse>,
  ) => {
    sent = asked.metadata.get("authorization");
    callback(null, held);
  };
  const metadata = new Metadata();
  metadata.set("authorization", "Bearer a.b.c");

  await withServer({ getReservation }, OPTIONS, async (client) => {
    await call(client, client.getReservation, REQUEST, 10_000, metadata);
  });
  assert.deepEqual(sent, ["Bearer a.b.c"]);
});

test("an enum value that is newer than the stubs is a number without a name", async () => {
  const newer = GetReservationResponse.fromPartial({ reservation: { state: NEW_STATE as ReservationState } });

  await withServer({ getReservation: answering(newer) }, OPTIONS, async (client) => {
    const { reservation } = await ask(client);
    assert.equal(reservation?.state, NEW_STATE);
    assert.equal(ReservationState[NEW_STATE], undefined);
    assert.equal(reservation?.ledgerState, LedgerState.LEDGER_STATE_UNSPECIFIED);
  });
});
