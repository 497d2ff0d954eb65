/** Reads what a call that failed says: its reason, and the details of its status. Sold out is no error. */

import { type Metadata, type ServiceError, status as codes } from "@grpc/grpc-js";

import type { Any } from "./stubs/google/protobuf/any.js";
import { BadRequest, type BadRequest_FieldViolation, ErrorInfo, RetryInfo } from "./stubs/google/rpc/error_details.js";
import { Status } from "./stubs/google/rpc/status.js";
import type { ErrorReason } from "./stubs/holdfast/inventory/v1/error_reason.js";
import { Reservation } from "./stubs/holdfast/inventory/v1/reservation.js";

const DOMAIN = "holdfast.inventory";
const JUDGED = [codes.NOT_FOUND, codes.ALREADY_EXISTS, codes.FAILED_PRECONDITION, codes.ABORTED];
/** What gRPC itself, or a proxy, only says of a call that was not begun. */
const NOT_BEGUN = [codes.UNIMPLEMENTED, codes.RESOURCE_EXHAUSTED, codes.UNAUTHENTICATED, codes.PERMISSION_DENIED];

/** Why a request could not be judged, or is not allowed. */
export interface Failure {
  code: codes;
  message: string;
  /** The name of an `ErrorReason`, maybe of one that is newer than this client; empty if gRPC made the status. */
  reason: keyof typeof ErrorReason | (string & {});
  /** What the comment of the reason names, such as `sale_id` and `sku`. */
  metadata: Record<string, string>;
  /** The pause that the server asks for before another attempt. */
  retryAfterMs: number | undefined;
  /** Each field that is out of bounds. */
  violations: BadRequest_FieldViolation[];
  /** The reservation as it stands, where the reason is about its state. */
  reservation: Reservation | undefined;
  /**
   * It may have been done, by this attempt or by one that gRPC made before it: repeat with the same ids, which tells.
   * Says nothing about a call that only reads.
   */
  outcomeUnknown: boolean;
}

/** What the error of a call says. */
export function failureOf(error: ServiceError): Failure {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const details = bytes instanceof Buffer ? Status.decode(bytes).details : [];
  return read(error.code, error.details, details, attemptsBefore(error.metadata));
}

/** What the status of one result of a batch or of a stream says. */
export function failureOfResult(status: Status): Failure {
  return read(status.code, status.message, status.details, 0);
}

/** How often gRPC had tried before, by the service config. */
function attemptsBefore(metadata: Metadata | undefined): number {
  const [count] = metadata?.get("grpc-previous-rpc-attempts") ?? [];
  return Number(count ?? 0);
}

function read(code: codes, message: string, details: Any[], earlierAttempts: number): Failure {
  const info = detail(details, "google.rpc.ErrorInfo", ErrorInfo);
  const isOurs = info?.domain === DOMAIN;
  const reason = isOurs ? info.reason : "";
  const delay = detail(details, "google.rpc.RetryInfo", RetryInfo)?.retryDelay;
  return {
    code,
    message,
    reason,
    metadata: isOurs ? info.metadata : {},
    retryAfterMs: delay && Number(delay.seconds) * 1000 + delay.nanos / 1e6,
    violations: detail(details, "google.rpc.BadRequest", BadRequest)?.fieldViolations ?? [],
    reservation: detail(details, "holdfast.inventory.v1.Reservation", Reservation),
    outcomeUnknown: isUnknown(code, reason, earlierAttempts),
  };
}

/** The first detail of a type, if there is one. */
function detail<T>(details: Any[], name: string, type: { decode(bytes: Uint8Array): T }): T | undefined {
  const found = details.find((each) => each.typeUrl.endsWith(`/${name}`));
  return found && type.decode(found.value);
}

/** A status tells of the last attempt alone, and settles earlier ones only if the server looked at the state for it. */
function isUnknown(code: codes, reason: string, earlierAttempts: number): boolean {
  if (reason && JUDGED.includes(code)) return false;
  return reason === "ERROR_REASON_OUTCOME_UNKNOWN" || (!reason && !NOT_BEGUN.includes(code)) || earlierAttempts > 0;
}
