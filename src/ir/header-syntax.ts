/** Names and values of header fields, as users write them. Envoy refuses all routes of a host over one that is none. */

/** An HTTP field name (RFC 9110 token; Gateway API: HTTPHeaderName). */
export const headerNamePattern = "^[A-Za-z0-9!#$%&'*+\\-.^_\\x60|~]+$";
/** Printable ASCII, words divided by one space or tab. */
export const headerValuePattern = '^[!-~]+([\\t ]?[!-~]+)*$';
/** Most characters of a value (Gateway API: HTTPHeader.value). */
export const maxHeaderValueLength = 4096;

const headerName = new RegExp(headerNamePattern);
// Not `headerValuePattern` itself: its nested repetition backtracks exponentially in JavaScript, RE2 does not.
const headerValue = /^[!-~]+(?:[\t ][!-~]+)*$/;

/** True for names of headers, and of cookies. */
export function isHeaderName(text: string): boolean {
  return headerName.test(text);
}

/** True for values of any length. */
export function isHeaderValue(text: string): boolean {
  return headerValue.test(text);
}

/** Said of every name that is none. */
export function invalidHeaderName(name: string): string {
  return `invalid header name ${JSON.stringify(name)}; letters, digits and !#$%&'*+-.^_\`|~ are allowed`;
}

/** What is wrong with a value that is taken as it is, if anything. */
export function headerValueProblem(value: string): string | undefined {
  if (value.length > maxHeaderValueLength) return `header value of ${value.length} characters; at most ${maxHeaderValueLength} are allowed`;
  return isHeaderValue(value)
    ? undefined
    : `invalid header value ${JSON.stringify(value)}; use printable ASCII with single spaces between words`;
}
