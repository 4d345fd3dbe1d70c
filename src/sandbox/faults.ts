/** Faults of the simulated App Store Connect, for tests of its clients (docs/sandbox.md). Held in memory only. */

import { z } from 'zod';
import { type AppleAnswer, errorAnswer } from './apple/json-api.ts';

/** The code of a fault that has only a status. */
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
 * One fault, as posted to `/_sandbox/faults`. It applies to requests whose path starts with `path` and whose method is
 * `method` (default: all requests), and to the next `times` of them (default: until deleted). Its effects:
 * - `status` 400 to 599: Apple's error body with `code`; `html`: an HTML page instead, for which status 200 is also
 *   possible; `retryAfterSeconds`: adds `Retry-After`;
 * - `drop`: true closes the connection at once; "after" does the work first, then closes it without an answer;
 * - `latencyMs`: waits before any of these, or before the normal answer;
 * - `clockSkewSeconds`: how far the server's clock is ahead, in `Date` and in every check.
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
    error: 'has no effect: set status, drop, latencyMs or clockSkewSeconds',
  })
  .refine(
    ({ status, code, html, retryAfterSeconds }) =>
      status !== undefined || (code === undefined && !html && retryAfterSeconds === undefined),
    { error: 'code, html and retryAfterSeconds require a status' },
  )
  .refine(({ status, html }) => status === undefined || status >= 400 || (html && status === 200), {
    error: 'status must be 400 to 599, or 200 with html',
  })
  .refine(({ status, drop }) => status === undefined || !drop, { error: 'set status or drop, not both' })
  .refine(({ code, html }) => code === undefined || !html, { error: 'set code or html, not both' });

type Fault = z.infer<typeof faultSchema>;

type Answering = { status?: number | undefined; drop?: boolean | 'after' | undefined; latencyMs?: number | undefined };

/** Whether a fault changes the answer; otherwise it only shifts the clock. */
function answers({ status, drop, latencyMs }: Answering): boolean {
  return status !== undefined || Boolean(drop) || latencyMs !== undefined;
}

/** How the faults affect one request. */
type FaultEffect = {
  readonly skewMs: number;
  readonly latencyMs: number;
  readonly drop: boolean | 'after';
  /** Sent instead of the normal answer. */
  readonly answer: AppleAnswer | undefined;
};

/** The active faults. */
export interface Faults {
  readonly list: readonly Fault[];
  add(fault: Fault): void;
  clear(): void;
  /**
   * Returns the effect on one request: the newest matching fault that changes the answer, and the newest matching
   * `clockSkewSeconds`. Counts down `times` of both.
   */
  take(method: string, path: string): FaultEffect;
}

/** Starts without faults. */
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

function answerOf({ status, code, html, retryAfterSeconds }: Fault): AppleAnswer | undefined {
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
