/** Faults of the simulated App Store Connect, for tests of whoever calls it. Held in memory only. */

import { z } from 'zod';
import { type Answer, errorAnswer } from './apple/json-api.ts';

/** What a fault answers with when only a status is given. */
const usualCodes: Readonly<Record<number, string>> = {
  400: 'PARAMETER_ERROR.INVALID',
  401: 'NOT_AUTHORIZED',
  403: 'FORBIDDEN_ERROR',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  409: 'ENTITY_ERROR',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  422: 'ENTITY_UNPROCESSABLE',
  429: 'RATE_LIMIT_EXCEEDED',
};

/**
 * One fault, as posted to `/_sandbox/faults`. It is for requests whose path is or begins with `path` and whose method
 * is `method`, for the next `times` of them; without these for all. Then:
 * - `status` 400 to 599: Apple's error body with `code`; `html`: a page of HTML instead, which may also have status 200;
 *   `retryAfterSeconds`: with that `Retry-After`;
 * - `drop`: true closes the connection at once, "after" does the work first and then closes it without an answer;
 * - `latencyMs`: waits before any of these, or before the usual answer;
 * - `clockSkewSeconds`: the server's clock is ahead by so much, in `Date` and in every check.
 */
export const faultSchema = z
  .strictObject({
    path: z.string().startsWith('/').optional(),
    method: z.string().toUpperCase().optional(),
    status: z.int().min(200).max(599).optional(),
    code: z.string().min(1).optional(),
    html: z.boolean().optional(),
    retryAfterSeconds: z.int().min(0).optional(),
    drop: z.union([z.boolean(), z.literal('after')]).optional(),
    latencyMs: z.int().min(0).max(600_000).optional(),
    clockSkewSeconds: z.int().min(-1e9).max(1e9).optional(),
    times: z.int().min(1).optional(),
  })
  .refine((fault) => answers(fault) || fault.clockSkewSeconds !== undefined, {
    error: 'says nothing to do: give status, drop, latencyMs or clockSkewSeconds',
  })
  .refine(
    ({ status, code, html, retryAfterSeconds }) =>
      status !== undefined || (code === undefined && !html && retryAfterSeconds === undefined),
    { error: 'code, html and retryAfterSeconds go with a status' },
  )
  .refine(({ status, html }) => status === undefined || status >= 400 || (html && status === 200), {
    error: 'status is 400 to 599, or 200 with html',
  })
  .refine(({ status, drop }) => status === undefined || !drop, { error: 'status and drop exclude each other' })
  .refine(({ code, html }) => code === undefined || !html, { error: 'code and html exclude each other' });

type Fault = z.infer<typeof faultSchema>;

type Answering = { status?: number | undefined; drop?: boolean | 'after' | undefined; latencyMs?: number | undefined };

/** Whether a fault says how to answer; else it shifts the clock and nothing more. */
function answers({ status, drop, latencyMs }: Answering): boolean {
  return status !== undefined || Boolean(drop) || latencyMs !== undefined;
}

/** What goes wrong with one request. */
type Trouble = {
  readonly skewMs: number;
  readonly latencyMs: number;
  readonly drop: boolean | 'after';
  /** Answered instead of the usual. */
  readonly answer: Answer | undefined;
};

/** The faults that are on. */
export interface Faults {
  readonly list: readonly Fault[];
  add(fault: Fault): void;
  clear(): void;
  /**
   * The trouble of one request: the newest matching fault that says how to answer, and apart from it the newest
   * matching `clockSkewSeconds`. Counts `times` of those two down.
   */
  take(method: string, path: string): Trouble;
}

/** No faults to begin with. */
export function openFaults(): Faults {
  let active: Fault[] = [];
  return {
    get list() {
      return active;
    },
    add(fault) {
      active.push({ ...fault });
    },
    clear() {
      active = [];
    },
    take(method, path) {
      const matching = active.filter(
        (fault) => (fault.method ?? method) === method && path.startsWith(fault.path ?? ''),
      );
      const answering = matching.findLast(answers);
      const clock = matching.findLast((fault) => fault.clockSkewSeconds !== undefined);
      for (const fault of new Set([answering, clock])) if (fault?.times !== undefined) fault.times -= 1;
      active = active.filter((fault) => fault.times !== 0);
      return {
        skewMs: (clock?.clockSkewSeconds ?? 0) * 1000,
        latencyMs: answering?.latencyMs ?? 0,
        drop: answering?.drop ?? false,
        answer: answering && answerOf(answering),
      };
    },
  };
}

function answerOf({ status, code, html, retryAfterSeconds }: Fault): Answer | undefined {
  if (status === undefined) return undefined;
  const headers = retryAfterSeconds === undefined ? {} : { 'retry-after': String(retryAfterSeconds) };
  if (html)
    return {
      status,
      headers: { ...headers, 'content-type': 'text/html; charset=utf-8' },
      body: '<html><body>Something went wrong.</body></html>',
    };
  const answer = errorAnswer(status, code ?? usualCodes[status] ?? 'UNEXPECTED_ERROR', 'A fault of the sandbox.');
  return { ...answer, headers };
}
