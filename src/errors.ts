/**
 * The table of all errors of webdist: a stable code, the HTTP status for callers, and a title that is safe to show.
 * `detail` says what is wrong in this case. It is written for the same reader, and never contains a secret. `cause` is
 * for the log only.
 */

type Entry = { readonly status: number; readonly title: string };

const codes = {
  // Returned by the HTTP API (docs/http-api.md).
  invalid_request: { status: 400, title: 'The request is invalid' },
  unauthorized: { status: 401, title: 'A valid credential is required' },
  forbidden: { status: 403, title: 'The caller may not do this' },
  origin_not_allowed: { status: 403, title: 'This page may not request install tokens' },
  challenge_failed: { status: 403, title: 'The challenge was not passed' },
  not_found: { status: 404, title: 'Not found' },
  unknown_app: { status: 404, title: 'Unknown app' },
  method_not_allowed: { status: 405, title: 'Method not allowed' },
  request_timeout: { status: 408, title: 'The request took too long to arrive' },
  too_large: { status: 413, title: 'The request is too large' },
  unsupported_media_type: { status: 415, title: 'The body has an unsupported format' },
  expectation_failed: { status: 417, title: 'The expectation cannot be met' },
  rate_limited: { status: 429, title: 'Too many requests' },
  headers_too_large: { status: 431, title: 'The header fields are too large' },
  internal_error: { status: 500, title: 'Internal error' },
  not_registered: { status: 503, title: 'No registered distribution key' },
  version_held: { status: 503, title: 'The version is on hold' },
  signer_unavailable: { status: 503, title: 'The signing key is unavailable' },
  clock_off: { status: 503, title: "The server's clock is wrong" },
  challenge_unavailable: { status: 503, title: 'The challenge cannot be verified right now' },
  ledger_unavailable: { status: 503, title: 'The install ledger is unavailable' },
  sign_in_unavailable: { status: 503, title: "The website's sign-in cannot be verified right now" },
  overloaded: { status: 503, title: 'The server is overloaded' },
  shutting_down: { status: 503, title: 'The server is shutting down' },

  // Reported to the operator: command line, settings, keys, files.
  usage_invalid: { status: 500, title: 'Invalid command usage' },
  config_invalid: { status: 500, title: 'Invalid settings' },
  key_invalid: { status: 500, title: 'The key is not usable' },
  key_absent: { status: 500, title: 'The key does not exist' },
  key_denied: { status: 500, title: 'Access to the key was denied' },
  key_unreachable: { status: 500, title: 'The backend that holds the key cannot be reached' },
  state_invalid: { status: 500, title: 'The stored state cannot be used' },
  redis_unavailable: { status: 502, title: 'Redis is unavailable' },
  package_invalid: { status: 502, title: 'The package is invalid' },

  // Reported by App Store Connect (docs/apple-facts.md §4.9).
  asc_credentials: { status: 502, title: 'App Store Connect rejected the API key' },
  asc_role: { status: 502, title: 'The App Store Connect API key lacks a permission' },
  asc_agreement: { status: 502, title: 'An agreement with Apple must be accepted' },
  asc_clock: { status: 502, title: "This machine's clock differs from App Store Connect's" },
  asc_conflict: { status: 502, title: 'App Store Connect reported a conflict' },
  asc_not_found: { status: 502, title: 'Not found at App Store Connect' },
  asc_rate: { status: 502, title: 'The hourly limit of App Store Connect is used up' },
  asc_outage: { status: 502, title: 'App Store Connect is unreachable or failing' },
  asc_refused: { status: 502, title: 'App Store Connect refused the request' },

  // Found by a check of the registration; an operator must decide (docs/apple-facts.md §4.11).
  registration_missing: { status: 503, title: 'The key or the domain is not registered' },
  different_key_registered: { status: 503, title: 'A different key is registered for this app' },
  rotation_unfinished: { status: 503, title: 'A rotation of the distribution key was not finished' },
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof codes;

/** The title of each code. */
export const errorTitles = Object.fromEntries(
  Object.entries(codes).map(([code, { title }]) => [code, title]),
) as Readonly<Record<ErrorCode, string>>;

export type ErrorOptions = {
  /** The next step for the reader of the message. */
  readonly hint?: string;
  /** Seconds after which a retry makes sense; becomes `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** The underlying error; logged, never sent to a caller. */
  readonly cause?: unknown;
};

/** The one error class. `message` is `detail`, followed by the hint if there is one. */
export class WebdistError extends Error {
  override readonly name = 'WebdistError';
  readonly code: ErrorCode;
  /** Safe to show. Names the field or the object, but never a value that could be secret. */
  readonly detail: string;
  readonly hint: string | undefined;
  readonly retryAfterSeconds: number | undefined;

  constructor(code: ErrorCode, detail: string, options: ErrorOptions = {}) {
    super(options.hint ? `${detail} ${options.hint}` : detail, { cause: options.cause });
    this.code = code;
    this.detail = detail;
    this.hint = options.hint;
    this.retryAfterSeconds = options.retryAfterSeconds;
  }

  /** HTTP status of this code. */
  get status(): number {
    return codes[this.code].status;
  }

  /** The title, which is the same for every error of this code. */
  get title(): string {
    return codes[this.code].title;
  }
}

/** True for an error of this class. */
export const isWebdistError = (error: unknown): error is WebdistError => error instanceof WebdistError;

/** True for an error of this class with one of these codes. */
export const hasCode = (error: unknown, ...wanted: readonly ErrorCode[]): boolean =>
  isWebdistError(error) && wanted.includes(error.code);

/** Puts `what`, such as the name of a setting, in front of the detail of a WebdistError. Returns any other value unchanged. */
export const about = (what: string, error: unknown): unknown =>
  isWebdistError(error)
    ? new WebdistError(error.code, `${what}: ${error.detail}`, {
        cause: error,
        ...(error.hint && { hint: error.hint }),
      })
    : error;

/** Returns a WebdistError unchanged. Wraps any other value, as the `cause`, into one with this code and detail. */
export const toWebdistError = (error: unknown, code: ErrorCode, detail: string): WebdistError =>
  isWebdistError(error) ? error : new WebdistError(code, detail, { cause: error });
