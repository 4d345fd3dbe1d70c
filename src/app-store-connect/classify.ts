/**
 * Maps an unsuccessful response of App Store Connect to one of our error codes, with one hint for the operator
 * (docs/apple-facts.md §4.9).
 */

import { z } from 'zod';
import { type ErrorCode, WebdistError } from '../errors.ts';

/** A response as received. `body` is parsed JSON, or the text if it is not labelled as JSON. */
export type AppleResponse = { readonly status: number; readonly headers: Headers; readonly body: unknown };

/** If the clocks differ by more than this, a refused credential is attributed to the clock. */
export const CLOCK_TOLERANCE_SECONDS = 30;

/**
 * Apple's codes by prefix. The first row that matches any entry of `errors[]` wins, regardless of the order of the
 * entries.
 */
const byPrefix: readonly (readonly [prefix: string, code: ErrorCode])[] = [
  ['FORBIDDEN.REQUIRED_AGREEMENTS', 'asc_agreement'],
  ['NOT_AUTHORIZED', 'asc_credentials'],
  ['FORBIDDEN', 'asc_role'],
  ['RATE_LIMIT_EXCEEDED', 'asc_rate'],
  ['ENTITY_ERROR', 'asc_conflict'],
  ['NOT_FOUND', 'asc_not_found'],
  ['PATH_ERROR', 'asc_not_found'],
  ['PARAMETER_ERROR', 'asc_refused'],
  ['ENTITY_INVALID', 'asc_refused'],
  ['ENTITY_UNPROCESSABLE', 'asc_refused'],
  ['METHOD_NOT_ALLOWED', 'asc_refused'],
];

/** The words with which Apple names an agreement. */
const AGREEMENT_NAME = String.raw`\b(agreements?|addendum|contracts?(?! manager)|PLA|(?<!\bin )terms|attachment \d+)\b`;
/**
 * Apple also reports a missing agreement with a plain `FORBIDDEN`. In that case, its title or detail says that an
 * agreement is not in effect, or who has to accept it.
 */
const MISSING_AGREEMENT = new RegExp(
  String.raw`${AGREEMENT_NAME}.*\b(accept|agree|sign|review|expire|missing|in[- ]effect|updated?|pending|latest)|\b(accept|agree|sign|review)\w*\b.*${AGREEMENT_NAME}`,
  'is',
);

const byStatus: Readonly<Record<number, ErrorCode>> = {
  401: 'asc_credentials',
  403: 'asc_role',
  404: 'asc_not_found',
  408: 'asc_outage',
  409: 'asc_conflict',
  410: 'asc_not_found',
  429: 'asc_rate',
};

const hints: Partial<Record<ErrorCode, string>> = {
  asc_credentials:
    'Check ASC_KEY_ID, ASC_ISSUER_ID (unset for an individual key) and that the private key is the .p8 of that key; ' +
    'under Users and Access, Integrations, check that the key is not revoked.',
  asc_role:
    'Use a team key with the role Admin, created under Users and Access, Integrations. If it already is one, check that ' +
    'it is not revoked and that the account is approved for alternative distribution.',
  asc_agreement:
    'The Account Holder must accept the pending agreement at https://developer.apple.com/account and at ' +
    'https://appstoreconnect.apple.com under Business.',
  asc_clock: 'Set the clock of this machine (NTP). If the key is still refused, check ASC_KEY_ID and ASC_ISSUER_ID.',
  asc_conflict: '`webdist keys list` and `webdist domains list` show what is registered.',
  asc_not_found: 'Check the id, ASC_BASE_URL, and that the API key has access to the app.',
  asc_rate: 'Wait for the rolling hour to pass. Another program may be using the same API key.',
  asc_outage: 'Try again in a few minutes; check https://developer.apple.com/system-status/ and outgoing connections.',
  asc_refused: 'Check ASC_BASE_URL and any proxy in between; otherwise report this with the code above.',
};

/**
 * Takes the request as `METHOD /path` without a query, its response, and how many seconds Apple's clock is ahead of
 * this machine's, if known. Returns the error to throw; its detail contains Apple's codes and titles.
 */
export function classifyResponse(
  request: string,
  response: AppleResponse,
  clockOffsetSeconds: number | undefined,
): WebdistError {
  const entries = entriesOf(response.body);
  let code = codeOf(response.status, entries);
  let detail = `${request}: App Store Connect answered ${[response.status, ...entries.map(describe)].join(', ')}.`;
  if (code === 'asc_credentials' && Math.abs(clockOffsetSeconds ?? 0) > CLOCK_TOLERANCE_SECONDS) {
    code = 'asc_clock';
    detail += ` Its clock differs from this machine's by ${clockOffsetSeconds} seconds.`;
  }
  return ascError(code, detail, { retryAfterSeconds: retryAfterSecondsOf(response.headers) });
}

/** Returns an error with this code and its hint. `detail` must be safe to show. */
export function ascError(
  code: ErrorCode,
  detail: string,
  options: { readonly retryAfterSeconds?: number | undefined; readonly cause?: unknown } = {},
): WebdistError {
  const { retryAfterSeconds, cause } = options;
  const hint = hints[code];
  return new WebdistError(code, detail, {
    ...(hint && { hint }),
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
    ...(cause !== undefined && { cause }),
  });
}

/**
 * Returns the whole seconds of a `Retry-After` header (RFC 9110 §10.2.3). A date is compared with the response's own
 * `Date`.
 */
export function retryAfterSecondsOf(headers: Headers): number | undefined {
  const value = headers.get('retry-after')?.trim();
  if (!value) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value);
  // Date.parse accepts nearly anything, even "-1".
  if (!value.endsWith(' GMT')) return undefined;
  const seconds = (Date.parse(value) - Date.parse(headers.get('date') ?? '')) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : undefined;
}

/** Further entries would add no information. */
const MAX_ENTRIES = 20;

/** `detail` is optional since API version 4.4.1. Anything that is not a string is ignored. */
const text = z.string().nullish().catch(undefined);
const errorEntry = z.object({ code: text, title: text, detail: text }).catch({});
const errorDocument = z.object({ errors: z.array(z.unknown()) });
type ErrorEntry = z.infer<typeof errorEntry>;

function entriesOf(body: unknown): readonly ErrorEntry[] {
  const document = errorDocument.safeParse(typeof body === 'string' ? parsedJson(body) : body);
  const errors = document.success ? document.data.errors : [];
  return errors.slice(0, MAX_ENTRIES).map((error) => errorEntry.parse(error));
}

function parsedJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // Proxies send HTML, and Apple sometimes sends plain text. In both cases only the status counts.
    return undefined;
  }
}

function codeOf(status: number, entries: readonly ErrorEntry[]): ErrorCode {
  const row = byPrefix.find(([prefix]) => entries.some((entry) => entry.code?.startsWith(prefix)));
  const isForbidden = row ? row[1] === 'asc_role' : status === 403;
  if (isForbidden && entries.some(({ title, detail }) => MISSING_AGREEMENT.test(`${title ?? ''} ${detail ?? ''}`)))
    return 'asc_agreement';
  return row?.[1] ?? byStatus[status] ?? (status >= 500 ? 'asc_outage' : 'asc_refused');
}

function describe({ code, title, detail }: ErrorEntry): string {
  const words = [title, detail === title ? undefined : detail].filter(Boolean).join(' ');
  return [code && plain(code, 80), words && `"${plain(words, 300)}"`].filter(Boolean).join(' ');
}

/** Makes a server's text safe for our messages: one line, bounded, and without JWTs, which a proxy may echo. */
function plain(words: string, maxLength: number): string {
  const oneLine = words.replace(/\p{Cc}+/gu, ' ').replace(/eyJ[\w-]*(?:\.[\w-]*)*/g, '[removed]');
  return oneLine.length > maxLength ? `${oneLine.slice(0, maxLength)}…` : oneLine;
}
