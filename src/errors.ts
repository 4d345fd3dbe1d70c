/**
 * Every way webdist can fail, in one table: a stable code, the HTTP status a caller sees and a title that is safe
 * to show. What is wrong this time goes into `detail`, written for that same caller, never holding a secret.
 * `cause` is for the log only. Must not know any other part of webdist.
 */

type Entry = { readonly status: number; readonly title: string };

const codes = {
  // What a caller over HTTP can get (contract §5.1).
  invalid_request: { status: 400, title: 'The request is not valid' },
  unauthorized: { status: 401, title: 'A valid credential is required' },
  origin_not_allowed: { status: 403, title: 'This page may not ask for install tokens' },
  forbidden: { status: 403, title: 'This caller may not do that' },
  not_found: { status: 404, title: 'There is nothing here' },
  unknown_app: { status: 404, title: 'No such app here' },
  method_not_allowed: { status: 405, title: 'This method is not offered here' },
  too_large: { status: 413, title: 'The request is too large' },
  unsupported_media_type: { status: 415, title: 'The body must be JSON' },
  rate_limited: { status: 429, title: 'Too many requests' },
  internal_error: { status: 500, title: 'Something went wrong here' },
  not_registered: { status: 503, title: 'No registered distribution key' },
  signer_unavailable: { status: 503, title: 'The signing key cannot be used right now' },
  ledger_unavailable: { status: 503, title: 'The install ledger cannot be reached right now' },
  sign_in_unavailable: { status: 503, title: 'The sign-in of this website cannot be checked right now' },
  overloaded: { status: 503, title: 'Too busy right now' },
  shutting_down: { status: 503, title: 'This server is shutting down' },

  // What an operator meets: settings, key material, state on disk.
  config_invalid: { status: 500, title: 'The settings are not valid' },
  usage_invalid: { status: 500, title: 'The command was not used as it should be' },
  key_invalid: { status: 500, title: 'This is not a usable key' },
  key_absent: { status: 500, title: 'The key is not there' },
  key_denied: { status: 500, title: 'Access to the key was denied' },
  key_unreachable: { status: 500, title: 'The place the key is in cannot be reached' },
  package_invalid: { status: 502, title: 'The package is not what it should be' },
  state_invalid: { status: 500, title: 'A file in the data folder cannot be used' },

  // What App Store Connect answered, classified (docs/apple-facts.md §4.9).
  asc_credentials: { status: 502, title: 'App Store Connect does not accept the API key' },
  asc_role: { status: 502, title: 'The App Store Connect API key may not do this' },
  asc_agreement: { status: 502, title: 'An agreement with Apple has to be accepted' },
  asc_clock: { status: 502, title: 'The clock of this machine disagrees with App Store Connect' },
  asc_conflict: { status: 502, title: 'App Store Connect says this conflicts with what is there' },
  asc_not_found: { status: 502, title: 'App Store Connect does not know this' },
  asc_rate: { status: 502, title: 'The hourly limit of App Store Connect is used up' },
  asc_outage: { status: 502, title: 'App Store Connect cannot be reached or is failing' },
  asc_refused: { status: 502, title: 'App Store Connect refused the request' },

  // Registration found something only a person may decide (docs/apple-facts.md §4.11).
  different_key_registered: { status: 503, title: 'Another key is registered for this app' },
  rotation_unfinished: { status: 503, title: 'A change of the distribution key was not finished' },
  registration_missing: { status: 503, title: 'The key or the domain is not registered' },
} as const satisfies Record<string, Entry>;

export type ErrorCode = keyof typeof codes;

export type ErrorOptions = {
  /** One next step for the reader of the message. */
  readonly hint?: string;
  /** Seconds after which trying again makes sense; becomes `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** What went wrong underneath; logged, never sent to a caller. */
  readonly cause?: unknown;
};

/** The one error class. `message` is `detail` and, when there is one, the hint. */
export class WebdistError extends Error {
  override readonly name = 'WebdistError';
  readonly code: ErrorCode;
  /** Safe for the caller: names the field or the thing, never a value that could be secret. */
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

  /** The same for every error of this code. */
  get title(): string {
    return codes[this.code].title;
  }
}

/** True for an error of this class. */
export const isWebdistError = (error: unknown): error is WebdistError => error instanceof WebdistError;

/** True for an error of this class with one of these codes. */
export const hasCode = (error: unknown, ...wanted: readonly ErrorCode[]): boolean =>
  error instanceof WebdistError && wanted.includes(error.code);
