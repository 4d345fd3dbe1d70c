/**
 * Reduces an error from a library to codes, in the forms listed here. Messages, bodies, other members and stacks are
 * dropped, because libraries quote responses in them, and a response can contain the private key.
 */

/** The codes of an error from a vendor's SDK, from Node.js or from a parser. */
class VendorError extends Error {
  override readonly name = 'VendorError';
  readonly code: string | undefined;

  constructor(message: string, code: string | undefined) {
    super(message);
    this.code = code;
  }
}

/**
 * Such as `ECONNREFUSED`, `CERT_HAS_EXPIRED`, `PERMISSION_DENIED` or `AccessDeniedException`. Digits are excluded,
 * because keys always contain some.
 */
const CODE = /^(?:[A-Z][A-Z_]{2,47}|[A-Z][A-Za-z]{2,47})$/;
const REQUEST_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** Codes that exist only in messages: of Microsoft Entra ID and of PKCS#11. */
const CODE_IN_MESSAGE = /\b(?:AADSTS\d{4,8}|CKR_[A-Z_]{2,40})\b/;
const REQUEST_ID_HEADERS = ['x-amzn-requestid', 'x-ms-request-id'];

/** Reduces a thrown value to its code, its HTTP status and the id of the request. */
export function vendorError(thrown: unknown): Error {
  const name = textIn(thrown, 'name');
  const code = [
    textIn(thrown, 'code'),
    textIn(member(thrown, 'cause'), 'code'),
    name === 'Error' ? undefined : name,
  ].find((one) => one !== undefined && CODE.test(one));
  const codeInMessage = CODE_IN_MESSAGE.exec(textIn(thrown, 'message') ?? '')?.[0];
  // In this case, the number in `code` is one of PKCS#11's.
  const status = codeInMessage?.startsWith('CKR_') ? undefined : httpStatus(thrown);
  const requestId = requestIdOf(thrown);
  const parts = [code, codeInMessage, status && `status ${status}`, requestId && `request ${requestId}`];
  return new VendorError(parts.filter(Boolean).join(', ') || 'an error without a known code', code);
}

/** Returns the HTTP status in an SDK's error, from any of the usual members; undefined without one. */
export function httpStatus(thrown: unknown): number | undefined {
  return [
    member(thrown, 'statusCode'),
    member(thrown, 'status'),
    member(member(thrown, '$metadata'), 'httpStatusCode'),
    Number(member(thrown, 'code')),
  ].find((status): status is number => Number.isInteger(status) && Number(status) >= 100 && Number(status) < 600);
}

/** Returns a header of the response in an SDK's error. The headers are a plain object, or an object with `get`. */
export function responseHeader(thrown: unknown, header: string): string | undefined {
  const headers = member(member(thrown, '$response') ?? member(thrown, 'response'), 'headers');
  const get = member(headers, 'get');
  const value: unknown = typeof get === 'function' ? get.call(headers, header) : member(headers, header);
  return typeof value === 'string' ? value : undefined;
}

const requestIdOf = (thrown: unknown): string | undefined =>
  [
    textIn(member(thrown, '$metadata'), 'requestId'),
    ...REQUEST_ID_HEADERS.map((header) => responseHeader(thrown, header)),
  ].find((id) => id !== undefined && REQUEST_ID.test(id));

/** Returns a member of a value of any type; undefined if there is none. */
export const member = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;

function textIn(value: unknown, name: string): string | undefined {
  const text = member(value, name);
  return typeof text === 'string' ? text : undefined;
}
