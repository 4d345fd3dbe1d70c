/**
 * What an answer of App Store Connect that is no success means, as one of our error codes with one next step for an
 * operator (docs/apple-facts.md §4.9).
 */

import { z } from 'zod';
import { type ErrorCode, WebdistError } from '../errors.ts';

/** An answer as it came: `body` is parsed JSON, or the text when it is not labelled as JSON. */
export type Answer = { readonly status: number; readonly headers: Headers; readonly body: unknown };

/** A clock further off than this makes a refused credential a matter of the clock. */
export const CLOCK_TOLERANCE_SECONDS = 30;

/** Apple's codes by prefix; the first row that matches any entry of `errors[]` wins, whatever the entries' order. */
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
    'Check ASC_KEY_ID, ASC_ISSUER_ID (an individual key has none) and that ASC_PRIVATE_KEY is the .p8 of that key; ' +
    'see under Users and Access, Integrations whether the key was revoked.',
  asc_role:
    'Use a team key with the role Admin, made under Users and Access, Integrations; if it is one, see whether it was ' +
    'revoked and whether this account has alternative distribution.',
  asc_agreement:
    'The Account Holder has to accept the pending agreement, at https://developer.apple.com/account and at ' +
    'https://appstoreconnect.apple.com under Business.',
  asc_clock: 'Set the clock of this machine (NTP). If it is refused then too, check ASC_KEY_ID and ASC_ISSUER_ID.',
  asc_conflict: 'See what is registered with `webdist keys list` and `webdist domains list`.',
  asc_not_found: 'Check the id, and that ASC_BASE_URL is right and the API key may see this app.',
  asc_rate: 'Wait until the rolling hour has room again; another program may be using the same API key.',
  asc_outage:
    'Try again in a few minutes; see https://developer.apple.com/system-status/ and the way out of this network.',
  asc_refused: 'Check ASC_BASE_URL and any proxy on the way; otherwise report this with the code above.',
};

/**
 * Takes the request as `METHOD /path` without a query, its answer, and how far Apple's clock is ahead of ours in
 * seconds where that is known. Gives the error to throw; its detail has Apple's codes and titles.
 */
export function classifyAnswer(request: string, answer: Answer, clockOffsetSeconds: number | undefined): WebdistError {
  const entries = entriesOf(answer.body);
  let code = codeOf(answer.status, entries);
  let detail = `${request}: App Store Connect answered ${[answer.status, ...entries.map(describe)].join(', ')}.`;
  if (code === 'asc_credentials' && Math.abs(clockOffsetSeconds ?? 0) > CLOCK_TOLERANCE_SECONDS) {
    code = 'asc_clock';
    detail += ` Its clock and this machine's differ by ${clockOffsetSeconds} seconds.`;
  }
  return ascError(code, detail, { retryAfterSeconds: retryAfterSecondsOf(answer.headers) });
}

/** An error of the table with this code's next step. `detail` must be safe to show. */
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

/** Whole seconds of a `Retry-After` header (RFC 9110 §10.2.3), a date being measured from the answer's own `Date`. */
export function retryAfterSecondsOf(headers: Headers): number | undefined {
  const value = headers.get('retry-after')?.trim();
  if (!value) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value);
  // Date.parse takes nearly anything, "-1" too.
  if (!value.endsWith(' GMT')) return undefined;
  const seconds = (Date.parse(value) - Date.parse(headers.get('date') ?? '')) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : undefined;
}

/** Apple marks `detail` as optional since 4.4.1; nothing but strings is used, whatever else an entry holds. */
const text = z.string().nullish().catch(undefined);
const errorEntry = z.object({ code: text, title: text, detail: text }).catch({});
const errorDocument = z.object({ errors: z.array(errorEntry) });
type ErrorEntry = z.infer<typeof errorEntry>;

function entriesOf(body: unknown): readonly ErrorEntry[] {
  const document = errorDocument.safeParse(typeof body === 'string' ? parsedJson(body) : body);
  return document.success ? document.data.errors : [];
}

function parsedJson(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    // Proxies answer with HTML and Apple with plain text: then the status has to say it all.
    return undefined;
  }
}

function codeOf(status: number, entries: readonly ErrorEntry[]): ErrorCode {
  const row = byPrefix.find(([prefix]) => entries.some((entry) => entry.code?.startsWith(prefix)));
  return row?.[1] ?? byStatus[status] ?? (status >= 500 ? 'asc_outage' : 'asc_refused');
}

function describe({ code, title, detail }: ErrorEntry): string {
  const words = [title, detail === title ? undefined : detail].filter(Boolean).join(' ');
  return [code && plain(code, 80), words && `"${plain(words, 300)}"`].filter(Boolean).join(' ');
}

/** A server's words in a message of ours: one line, bounded, and no JWT even if a proxy on the way echoes ours. */
function plain(words: string, maxLength: number): string {
  const oneLine = words.replace(/\p{Cc}+/gu, ' ').replace(/eyJ[\w-]*(?:\.[\w-]*)*/g, '[removed]');
  return oneLine.length > maxLength ? `${oneLine.slice(0, maxLength)}…` : oneLine;
}
