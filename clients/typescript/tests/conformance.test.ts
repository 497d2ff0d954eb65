/** What a shop does with Holdfast, by these stubs, against the running server that HOLDFAST_ADDRESS names. */

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, suite, test } from "node:test";

import { credentials, type ServiceError, status as codes } from "@grpc/grpc-js";

import { call } from "../calls.js";
import { type Failure, failureOf, failureOfResult } from "../errors.js";
import * as admin from "../stubs/holdfast/inventory/v1/inventory_admin_service.js";
import * as shop from "../stubs/holdfast/inventory/v1/inventory_service.js";
import {
  LedgerState,
  RejectionReason,
  type Reservation,
  ReservationState,
} from "../stubs/holdfast/inventory/v1/reservation.js";
import { SaleState } from "../stubs/holdfast/inventory/v1/sale.js";

const ADDRESS = process.env["HOLDFAST_ADDRESS"]!;
const TIMEOUT_MS = 30_000;
const PATIENCE_MS = 10_000; // a server waits for the ledger for half of it, and then for half of what is left
const MILLION_MILLIONS = 10n ** 12n;
const CONFIG = readFileSync(new URL("../../stubs/service_config.json", import.meta.url), "utf8");
const OPTIONS = { "grpc.service_config": CONFIG };
const SKIP = ADDRESS ? false : "HOLDFAST_ADDRESS names no server";

const buyer = new shop.InventoryServiceClient(ADDRESS ?? "127.0.0.1:1", credentials.createInsecure(), OPTIONS);
const operator = new admin.InventoryAdminServiceClient(ADDRESS ?? "127.0.0.1:1", credentials.createInsecure(), OPTIONS);

after(() => {
  buyer.close();
  operator.close();
});

type Fields<T> = T extends Date | bigint ? T : T extends object ? { [Key in keyof T]?: Fields<T[Key]> } : T;

/** Make a sale of a name of its own; returns its id. */
async function openSale(units: Record<string, bigint>, settings: Fields<admin.CreateSaleRequest["sale"]> = {}) {
  const saleId = `ts-${randomUUID()}`;
  const items = Object.entries(units).map(([sku, total]) => ({ sku, total }));
  const request = admin.CreateSaleRequest.fromPartial({ sale: { saleId, items, ...settings } as object });
  await call(operator, operator.createSale, request, TIMEOUT_MS);
  return saleId;
}

function reserveRequest(saleId: string, reservationId: string, units: Record<string, bigint>, reference = "") {
  return shop.ReserveRequest.fromPartial({
    saleId,
    reservationId,
    buyerId: "anna",
    lines: Object.entries(units).map(([sku, quantity]) => ({ sku, quantity })),
    reference,
  });
}

function reserve(saleId: string, reservationId: string, units: Record<string, bigint>, reference = "") {
  return call(buyer, buyer.reserve, reserveRequest(saleId, reservationId, units, reference), TIMEOUT_MS);
}

/** The reservation of an answer; fails if it is a rejection. */
function granted(answer: shop.ReserveResponse | shop.ChangeReservationResponse): Reservation {
  assert.equal(answer.outcome?.$case, "reservation");
  return answer.outcome.value as Reservation;
}

/** The reason of an answer; fails if units were granted. */
function rejected(answer: shop.ReserveResponse | shop.ChangeReservationResponse) {
  assert.equal(answer.outcome?.$case, "rejection");
  return answer.outcome.value;
}

/** What a call that fails says; fails if it is answered. */
async function failure(answer: Promise<unknown>): Promise<Failure> {
  return answer.then(
    () => assert.fail("it was answered"),
    (error: ServiceError) => failureOf(error),
  );
}

async function confirm(saleId: string, reservationId: string, units?: Record<string, bigint>) {
  const lines = Object.entries(units ?? {}).map(([sku, quantity]) => ({ sku, quantity }));
  const request = { saleId, reservationId, ...(units ? { partial: { lines } } : {}) };
  return call(buyer, buyer.confirmReservation, shop.ConfirmReservationRequest.fromPartial(request), TIMEOUT_MS);
}

async function getSale(saleId: string) {
  const answer = await call(buyer, buyer.getSale, shop.GetSaleRequest.fromPartial({ saleId }), TIMEOUT_MS);
  return answer.sale!;
}

/** Units of the one item of a sale: available, held, sold. */
async function stock(saleId: string) {
  const [item] = (await getSale(saleId)).items;
  return [item!.available, item!.held, item!.sold];
}

suite("selling", { skip: SKIP }, () => {
  test("a sale is sold to its last unit, and sold out is an answer", async () => {
    const sale = await openSale({ lamp: 2n });

    const first = granted(await reserve(sale, "r-1", { lamp: 1n }));
    granted(await reserve(sale, "r-2", { lamp: 1n }));
    const third = await reserve(sale, "r-3", { lamp: 1n });
    const sold = await confirm(sale, "r-1");

    assert.equal(first.state, ReservationState.RESERVATION_STATE_HELD);
    assert.equal(first.revision, 1n);
    assert.equal(first.buyerId, "anna");
    assert.equal(rejected(third).reason, RejectionReason.REJECTION_REASON_SOLD_OUT);
    assert.deepEqual(rejected(third).shortages, [{ sku: "lamp", requested: 1n, available: 0n, held: 2n }]);
    assert.equal(sold.reservation?.state, ReservationState.RESERVATION_STATE_CONFIRMED);
    assert.equal(sold.reservation?.revision, 2n);
    assert.deepEqual(await stock(sale), [0n, 1n, 1n]);
  });

  test("a repeat of an id is answered with the reservation as it stands, and takes nothing", async () => {
    const sale = await openSale({ lamp: 2n });
    const first = await reserve(sale, "r-1", { lamp: 1n });

    const again = await reserve(sale, "r-1", { lamp: 1n });
    await confirm(sale, "r-1");
    const confirmedAgain = await confirm(sale, "r-1");

    assert.deepEqual([first.replayed, again.replayed, confirmedAgain.replayed], [false, true, true]);
    assert.deepEqual({ ...granted(again), ledgerState: 0 }, { ...granted(first), ledgerState: 0 });
    assert.deepEqual(await stock(sale), [1n, 0n, 1n]);
  });

  test("a part is confirmed, and the rest is on sale again", async () => {
    const sale = await openSale({ lamp: 3n });
    await reserve(sale, "r-1", { lamp: 3n });

    const { reservation } = await confirm(sale, "r-1", { lamp: 2n });

    assert.deepEqual(reservation?.lines, [
      { sku: "lamp", quantity: 3n, confirmedQuantity: 2n, returnedQuantity: 0n },
    ]);
    assert.deepEqual(await stock(sale), [1n, 0n, 2n]);
  });

  test("a hold is released, and an id is spent that was never used", async () => {
    const sale = await openSale({ lamp: 1n });
    await reserve(sale, "r-1", { lamp: 1n });
    const release = (reservationId: string, spendId: boolean) => {
      const request = { saleId: sale, reservationId, reason: "no money", spendId };
      return call(buyer, buyer.releaseReservation, shop.ReleaseReservationRequest.fromPartial(request), TIMEOUT_MS);
    };

    const released = await release("r-1", false);
    await release("r-2", true);
    const late = await reserve(sale, "r-2", { lamp: 1n });

    assert.equal(released.reservation?.state, ReservationState.RESERVATION_STATE_RELEASED);
    assert.equal(released.reservation?.note, "no money");
    assert.equal(rejected(late).reason, RejectionReason.REJECTION_REASON_RESERVATION_ENDED);
    assert.equal((await failure(release("r-3", false))).reason, "ERROR_REASON_RESERVATION_NOT_FOUND");
    assert.deepEqual(await stock(sale), [1n, 0n, 0n]);
  });

  test("a hold lives longer, up to the limit of its sale", async () => {
    const limits = { holdTtl: { seconds: 60n, nanos: 0 }, maxHoldTtl: { seconds: 120n, nanos: 500_000_000 } };
    const sale = await openSale({ lamp: 1n }, limits);
    const before = granted(await reserve(sale, "r-1", { lamp: 1n }));
    const extend = (seconds: bigint) => {
      const request = { saleId: sale, reservationId: "r-1", holdTtl: { seconds } };
      return call(buyer, buyer.extendReservation, shop.ExtendReservationRequest.fromPartial(request), TIMEOUT_MS);
    };
    const lifeMs = (hold: Reservation) => hold.expireTime!.getTime() - hold.createTime!.getTime();

    const longer = await extend(90n);
    const longest = await extend(3_600n);

    assert.deepEqual([before, longer.reservation!, longest.reservation!].map(lifeMs), [60_000, 90_000, 120_500]);
    assert.ok(longest.readTime! < longest.reservation!.expireTime!);
  });

  test("a hold is changed to other units, or stays as it is", async () => {
    const sale = await openSale({ lamp: 2n, shade: 1n });
    await reserve(sale, "r-1", { lamp: 2n });
    const change = (...lines: { sku: string; quantity: bigint }[]) => {
      const request = { saleId: sale, reservationId: "r-1", lines };
      return call(buyer, buyer.changeReservation, shop.ChangeReservationRequest.fromPartial(request), TIMEOUT_MS);
    };

    const changed = await change({ sku: "lamp", quantity: 1n }, { sku: "shade", quantity: 1n });
    const refused = await change({ sku: "shade", quantity: 2n });

    assert.deepEqual(granted(changed).lines.map(({ sku, quantity }) => [sku, quantity]), [
      ["lamp", 1n],
      ["shade", 1n],
    ]);
    assert.equal(rejected(refused).reason, RejectionReason.REJECTION_REASON_SOLD_OUT);
    assert.equal((await failure(change({ sku: "vase", quantity: 1n }))).reason, "ERROR_REASON_ITEM_NOT_FOUND");
  });

  test("sold units come back, on sale again or discarded", async () => {
    const sale = await openSale({ lamp: 3n });
    await reserve(sale, "r-1", { lamp: 3n });
    await confirm(sale, "r-1");
    const giveBack = (quantity: bigint, discard: boolean) => {
      const lines = [{ sku: "lamp", quantity }];
      const request = { saleId: sale, reservationId: "r-1", reason: "broken", lines, discard };
      return call(buyer, buyer.returnReservation, shop.ReturnReservationRequest.fromPartial(request), TIMEOUT_MS);
    };

    const some = await giveBack(1n, false);
    const all = await giveBack(3n, true);

    assert.equal(some.reservation?.state, ReservationState.RESERVATION_STATE_CONFIRMED);
    assert.equal(all.reservation?.state, ReservationState.RESERVATION_STATE_RETURNED);
    assert.deepEqual(await stock(sale), [1n, 0n, 0n]);
    assert.equal((await getSale(sale)).items[0]?.total, 1n);
  });
});

suite("many at once", { skip: SKIP }, () => {
  test("a batch has one result for each request, and what cannot be judged fails alone", async () => {
    const sale = await openSale({ lamp: 1n });
    const requests = [
      reserveRequest(sale, "r-1", { lamp: 1n }),
      reserveRequest(sale, "r-2", { lamp: 1n }),
      reserveRequest(sale, "r 3", { lamp: 1n }),
    ];

    const answer = await call(buyer, buyer.batchReserve, { requests }, TIMEOUT_MS);

    const [first, second, third] = answer.results.map(({ result }) => result);
    assert.ok(first?.$case === "response" && second?.$case === "response" && third?.$case === "status");
    assert.equal(granted(first.value).reservationId, "r-1");
    assert.equal(rejected(second.value).reason, RejectionReason.REJECTION_REASON_SOLD_OUT);
    const refused = failureOfResult(third.value);
    assert.deepEqual([refused.code, refused.reason], [codes.INVALID_ARGUMENT, "ERROR_REASON_FIELD_OUT_OF_BOUNDS"]);
    assert.deepEqual(refused.violations.map(({ field }) => field), ["reservation_id"]);
  });

  test("a stream answers each number, the largest and the least too, and ends once it is half-closed", async () => {
    const sale = await openSale({ lamp: 10n });
    const numbers = [2n ** 63n - 1n, 2n ** 53n + 1n, 0n, -(2n ** 63n)];
    const stream = buyer.streamReserve({ deadline: Date.now() + TIMEOUT_MS });

    for (const [index, correlationId] of numbers.entries())
      stream.write({ correlationId, request: reserveRequest(sale, `r-${index}`, { lamp: 1n }) });
    stream.end();
    const answers: shop.StreamReserveResponse[] = await stream.toArray();

    const held = new Map(answers.map(({ correlationId, result }) => [correlationId, result?.result]));
    assert.equal(answers.length, numbers.length);
    for (const [index, number] of numbers.entries()) {
      const result = held.get(number);
      assert.ok(result?.$case === "response");
      assert.equal(granted(result.value).reservationId, `r-${index}`);
    }
  });
});

suite("errors", { skip: SKIP }, () => {
  test("a failure has a reason and what it is about", async () => {
    const missing = await failure(reserve("ts-no-such-sale", "r-1", { lamp: 1n }));

    assert.deepEqual([missing.code, missing.reason], [codes.NOT_FOUND, "ERROR_REASON_SALE_NOT_FOUND"]);
    assert.equal(missing.metadata["sale_id"], "ts-no-such-sale");
    assert.equal(missing.outcomeUnknown, false);
  });

  test("a failure names each field that is out of bounds", async () => {
    const { code, reason, violations } = await failure(reserve("lamp sale", "", { lamp: 1_001n }));

    assert.deepEqual([code, reason], [codes.INVALID_ARGUMENT, "ERROR_REASON_FIELD_OUT_OF_BOUNDS"]);
    assert.deepEqual(violations.map(({ field }) => field).sort(), ["lines[0].quantity", "reservation_id", "sale_id"]);
    assert.ok(violations.every(({ description }) => description));
  });

  test("a failure about a state has the reservation as it stands", async () => {
    const sale = await openSale({ lamp: 3n });
    await reserve(sale, "r-1", { lamp: 1n });
    const sold = (await confirm(sale, "r-1")).reservation!;
    const extend = { saleId: sale, reservationId: "r-1", holdTtl: { seconds: 900n } };
    const request = shop.ExtendReservationRequest.fromPartial(extend);

    const late = await failure(call(buyer, buyer.extendReservation, request, TIMEOUT_MS));
    const reused = await failure(reserve(sale, "r-1", { lamp: 2n }));

    assert.deepEqual([late.code, late.reason], [codes.FAILED_PRECONDITION, "ERROR_REASON_WRONG_RESERVATION_STATE"]);
    assert.equal(late.metadata["state"], "RESERVATION_STATE_CONFIRMED");
    assert.deepEqual(late.reservation?.position, sold.position);
    assert.deepEqual([reused.code, reused.reason], [codes.ALREADY_EXISTS, "ERROR_REASON_RESERVATION_ID_REUSED"]);
  });

  test("a change is refused if another came first: a revision and an etag", async () => {
    const sale = await openSale({ lamp: 1n });
    const held = granted(await reserve(sale, "r-1", { lamp: 1n }));
    const guarded = { saleId: sale, reservationId: "r-1", expectedRevision: held.revision + 2n ** 53n };
    const confirmation = shop.ConfirmReservationRequest.fromPartial(guarded);
    const { etag } = await getSale(sale);
    const rename = (title: string) => {
      const request = { sale: { saleId: sale, title, etag }, updateMask: ["title"] };
      return call(operator, operator.updateSale, admin.UpdateSaleRequest.fromPartial(request), TIMEOUT_MS);
    };

    const otherRevision = await failure(call(buyer, buyer.confirmReservation, confirmation, TIMEOUT_MS));
    const renamed = await rename("Lamps");
    const otherEtag = await failure(rename("Lamps, at last"));

    assert.deepEqual([otherRevision.code, otherRevision.reason], [codes.ABORTED, "ERROR_REASON_REVISION_MISMATCH"]);
    assert.equal(otherRevision.reservation?.revision, held.revision);
    assert.equal(renamed.sale?.title, "Lamps");
    assert.deepEqual([otherEtag.code, otherEtag.reason], [codes.ABORTED, "ERROR_REASON_ETAG_MISMATCH"]);
  });

  test("what is not possible yet says when to ask again, after gRPC has asked once more", async () => {
    const sale = await openSale({ lamp: 1n });
    const { position } = granted(await reserve(sale, "r-1", { lamp: 1n }));
    const atLeast = { ...position!, seq: position!.seq + 1_000_000n };
    const request = shop.ListReservationsRequest.fromPartial({ saleId: sale, atLeast });
    const twice = { "grpc.service_config": CONFIG.replace('"maxAttempts": 4', '"maxAttempts": 2') };
    const client = new shop.InventoryServiceClient(ADDRESS, credentials.createInsecure(), twice);

    const early = call(client, client.listReservations, request, PATIENCE_MS);

    await assert.rejects(early, (error: ServiceError) => {
      const behind = failureOf(error);
      assert.deepEqual([behind.code, behind.reason], [codes.UNAVAILABLE, "ERROR_REASON_LEDGER_BEHIND"]);
      assert.ok(behind.retryAfterMs! > 0);
      assert.deepEqual(error.metadata.get("grpc-previous-rpc-attempts"), ["1"]);
      return true;
    });
    client.close();
  });

  test("a deadline ends a call, which may have been done, and a repeat tells", async () => {
    const sale = await openSale({ lamp: 1n });
    const request = reserveRequest(sale, "r-1", { lamp: 1n });

    const late = await failure(call(buyer, buyer.reserve, request, 1));

    assert.equal(late.code, codes.DEADLINE_EXCEEDED);
    assert.equal(late.outcomeUnknown, late.reason === "");
    assert.equal(granted(await reserve(sale, "r-1", { lamp: 1n })).reservationId, "r-1");
    assert.deepEqual(await stock(sale), [0n, 1n, 0n]);
  });
});

suite("lists and watches", { skip: SKIP }, () => {
  test("a list is read page by page, once the ledger has what the caller has done", async () => {
    const sale = await openSale({ lamp: 5n });
    const reference = `order-${randomUUID()}`;
    const made: Reservation[] = [];
    for (const number of [1, 2, 3, 4, 5])
      made.push(granted(await reserve(sale, `r-${number}`, { lamp: 1n }, reference)));
    const atLeast = made.at(-1)!.position!;
    const pages: string[][] = [];
    let pageToken = "";

    do {
      const request = shop.ListReservationsRequest.fromPartial({ reference, pageSize: 2, pageToken, atLeast });
      const page = await call(buyer, buyer.listReservations, request, TIMEOUT_MS);
      pages.push(page.reservations.map(({ reservationId }) => reservationId));
      pageToken = page.nextPageToken;
    } while (pageToken);

    assert.deepEqual(pages.flat(), ["r-5", "r-4", "r-3", "r-2", "r-1"]);
    assert.ok(pages.every((page) => page.length <= 2));
  });

  test("a watch of a sale begins with all of it, sends what changes, and ends when it is cancelled", async () => {
    const sale = await openSale({ lamp: 5n });
    const request = shop.WatchSaleRequest.fromPartial({ saleId: sale });
    const watch = buyer.watchSale(request, { deadline: Date.now() + TIMEOUT_MS });
    const seen: shop.WatchSaleResponse[] = [];

    const watching = (async () => {
      for await (const message of watch as AsyncIterable<shop.WatchSaleResponse>) {
        seen.push(message);
        if (seen.length === 1) await reserve(sale, "r-1", { lamp: 2n });
        if (message.sale?.items.some(({ held }) => held === 2n)) watch.cancel();
      }
    })();

    await assert.rejects(watching, { code: codes.CANCELLED });
    assert.equal(seen[0]?.snapshot, true);
    assert.equal(seen[0]?.sale?.state, SaleState.SALE_STATE_OPEN);
    assert.deepEqual(seen.at(-1)?.sale?.items.map(({ available, held }) => [available, held]), [[3n, 2n]]);
  });

  test("a watch of a reservation ends once it is sold and the ledger has it", async () => {
    const sale = await openSale({ lamp: 1n });
    await reserve(sale, "r-1", { lamp: 1n });
    const request = shop.WatchReservationRequest.fromPartial({ saleId: sale, reservationId: "r-1" });
    const watch = buyer.watchReservation(request, { deadline: Date.now() + TIMEOUT_MS });

    await confirm(sale, "r-1");
    const messages: shop.WatchReservationResponse[] = await watch.toArray();

    const last = messages.at(-1)?.reservation;
    assert.equal(last?.state, ReservationState.RESERVATION_STATE_CONFIRMED);
    assert.equal(last?.ledgerState, LedgerState.LEDGER_STATE_RECORDED);
  });
});

suite("operators", { skip: SKIP }, () => {
  test("the largest numbers are exact", async () => {
    const sale = await openSale({ lamp: MILLION_MILLIONS }, { buyerLimit: 2n ** 53n });

    granted(await reserve(sale, "r-1", { lamp: 1n }));

    const { buyerLimit } = await getSale(sale);
    assert.equal(buyerLimit, 2n ** 53n);
    assert.deepEqual(await stock(sale), [MILLION_MILLIONS - 1n, 1n, 0n]);
  });

  test("the stock is adjusted once for each id", async () => {
    const sale = await openSale({ lamp: 5n });
    const adjust = (change: admin.AdjustStockRequest["change"], expectedTotal?: bigint) => {
      const request = { saleId: sale, sku: "lamp", adjustmentId: "delivery-1", reason: "came", change };
      const guarded = admin.AdjustStockRequest.fromPartial({ ...request, expectedTotal } as object);
      return call(operator, operator.adjustStock, guarded, TIMEOUT_MS);
    };
    const more = { $case: "delta", value: MILLION_MILLIONS - 5n } as const;

    const first = await adjust(more, 5n);
    const again = await adjust(more, 5n);
    const reused = await failure(adjust({ $case: "newTotal", value: 0n }));

    assert.deepEqual([first.replayed, again.replayed], [false, true]);
    assert.equal(first.adjustment?.totalAfter, MILLION_MILLIONS);
    assert.equal(again.item?.total, MILLION_MILLIONS);
    assert.equal(reused.reason, "ERROR_REASON_ADJUSTMENT_ID_REUSED");
  });

  test("a sale is paused, goes on and is closed, and an audit finds nothing", async () => {
    const sale = await openSale({ lamp: 2n });
    const state = (answer: { sale: { state: SaleState } | undefined }) => answer.sale?.state;
    await reserve(sale, "r-1", { lamp: 1n });

    const paused = await call(operator, operator.pauseSale, { saleId: sale, etag: "", reason: "price" }, TIMEOUT_MS);
    const refused = await reserve(sale, "r-2", { lamp: 1n });
    const resumed = await call(operator, operator.resumeSale, { saleId: sale, etag: "", reason: "" }, TIMEOUT_MS);
    const closing = { saleId: sale, etag: "", reason: "over", releaseHolds: true };
    const closed = await call(operator, operator.closeSale, closing, TIMEOUT_MS);
    const audit = await call(operator, operator.auditSale, { saleId: sale }, TIMEOUT_MS);

    const { SALE_STATE_PAUSED, SALE_STATE_OPEN, SALE_STATE_CLOSED } = SaleState;
    assert.deepEqual([paused, resumed, closed].map(state), [SALE_STATE_PAUSED, SALE_STATE_OPEN, SALE_STATE_CLOSED]);
    assert.equal(rejected(refused).reason, RejectionReason.REJECTION_REASON_SALE_PAUSED);
    assert.deepEqual([audit.consistent, audit.reservationsCompared], [true, 1n]);
  });

  test("a buyer is blocked and unblocked", async () => {
    const buyerId = `bot-${randomUUID()}`;
    const sale = await openSale({ lamp: 1n });
    const ask = () => call(buyer, buyer.reserve, { ...reserveRequest(sale, "r-1", { lamp: 1n }), buyerId }, TIMEOUT_MS);

    await call(operator, operator.blockBuyer, { buyerId, reason: "buys everything" }, TIMEOUT_MS);
    const blocked = await ask();
    await call(operator, operator.unblockBuyer, { buyerId }, TIMEOUT_MS);

    assert.equal(rejected(blocked).reason, RejectionReason.REJECTION_REASON_BUYER_BLOCKED);
    granted(await ask());
  });
});
