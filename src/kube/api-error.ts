import type { Resource } from './resources.ts';
import { resourceName } from './resources.ts';

/** What a failed call was about. */
export interface CallSubject {
  readonly verb: string;
  /** Absent for a call that is about no resource. */
  readonly resource?: Resource | undefined;
  /** `namespace/name`, a namespace, or empty for all. */
  readonly key?: string | undefined;
}

/**
 * A call that the API server refused, or that did not reach it (`status` 0, `reason` `Unreachable`). `reason` is that of metav1.Status.
 * The message ends with what an operator can do.
 */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly reason: string;
  readonly resource: Resource | undefined;
  /** Seconds that the server asked us to wait. */
  readonly retryAfter: number | undefined;

  constructor(
    subject: CallSubject,
    o: { status: number; reason: string; message: string; retryAfter?: number | undefined; cause?: unknown },
  ) {
    const what = `${subject.verb} ${subject.resource ? resourceName(subject.resource) : 'API'}${subject.key ? ` ${subject.key}` : ''}`;
    const hint = hintOf(o.status, o.reason, subject);
    super(`${what}: ${o.message}${hint ? ` (${hint})` : ''}`, { cause: o.cause });
    this.status = o.status;
    this.reason = o.reason;
    this.resource = subject.resource;
    this.retryAfter = o.retryAfter;
  }
}

/** True when the object or the kind does not exist. */
export function isNotFound(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 404;
}

/** True when somebody else wrote first, or a precondition did not hold. */
export function isConflict(error: unknown): error is ApiError {
  return error instanceof ApiError && error.status === 409;
}

/** True when the resourceVersion is too old for a watch or a continued list. */
export function isExpired(error: unknown): error is ApiError {
  return error instanceof ApiError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');
}

function hintOf(status: number, reason: string, subject: CallSubject): string {
  const name = subject.resource ? resourceName(subject.resource) : 'this API';
  switch (status) {
    case 0:
      return 'check that the API server is up and that its address and CA in the kubeconfig are right';
    case 401:
      return 'the credentials were refused: check the token or certificate in the kubeconfig, or that the ServiceAccount still exists';
    case 403:
      return `grant the verb "${subject.verb}" on ${name} to this ServiceAccount in its ClusterRole`;
    case 404:
      return subject.key ? '' : `install the CustomResourceDefinition of ${name}, or check its version`;
    case 409:
      return reason === 'AlreadyExists' ? '' : 'somebody else changed it: read it again and retry';
    case 410:
      return 'list again';
    case 413:
      return 'the object is too large for the API server: split it';
    case 422:
      return 'the object breaks its schema: if the field is new, install the CRDs of this release';
    case 429:
      return "the API server sheds load: look at its flow-control metrics and at this client's rate of calls";
    default:
      return status >= 500 ? "see the API server's log" : '';
  }
}

interface StatusBody {
  readonly reason?: string;
  readonly message?: string;
  readonly code?: number;
  readonly details?: { readonly retryAfterSeconds?: number };
}

/** The error of an answer whose status is not 2xx, or of an ERROR event of a watch. */
export function errorOf(subject: CallSubject, status: number, body: unknown, retryAfter?: string): ApiError {
  const s: StatusBody = typeof body === 'object' && body !== null ? body : {};
  const text = typeof body === 'string' ? body.trim().slice(0, 300) : '';
  const seconds = retryAfter === undefined ? s.details?.retryAfterSeconds : Number(retryAfter);
  return new ApiError(subject, {
    status,
    reason: s.reason ?? '',
    message: s.message ?? (text || `HTTP ${status}`),
    retryAfter: Number.isFinite(seconds) ? seconds : undefined,
  });
}

/** The error of a call that got no answer. */
export function unreachable(subject: CallSubject, cause: unknown): ApiError {
  const message = cause instanceof Error ? cause.message || cause.name : String(cause);
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  return new ApiError(subject, {
    status: 0,
    reason: 'Unreachable',
    message: code && !message.includes(code) ? `${message} [${code}]` : message,
    cause,
  });
}
