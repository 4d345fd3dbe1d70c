/** Shared by all of Apple's answers: error bodies, and the reading of request bodies (docs/apple-facts.md §4.9). */

import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { SandboxStore } from '../state.ts';
import type { Cdn } from './cdn.ts';
import type { TypeName } from './resource-types.ts';

/** One response. A string body is sent as plain text unless `headers` say otherwise; an object is sent as JSON. */
export type AppleAnswer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | object;
};

/** Checked query parameters by name. */
export type Query = ReadonlyMap<string, string>;

/** An authorized request for a path that exists, with the state that the handler uses. */
export type Call = {
  /** The variable part of the path, or an empty string. */
  readonly id: string;
  readonly query: Query;
  /** The request body as text. */
  readonly body: string;
  /** This server's origin as the caller sees it, e.g. `http://127.0.0.1:4010`. */
  readonly origin: string;
  /** Path and query as received. */
  readonly target: string;
  /** Milliseconds since 1970 by the simulated clock. */
  readonly nowMs: number;
  /** The team whose API key signed the JWT. */
  readonly team: string;
  readonly store: SandboxStore;
  readonly cdn: Cdn;
};

const titles = {
  'PARAMETER_ERROR.ILLEGAL': 'A given parameter is not allowed here',
  'PARAMETER_ERROR.INVALID': 'A parameter has an invalid value',
  ENTITY_INVALID: 'The request body is not valid JSON',
  NOT_AUTHORIZED: 'Authentication credentials are missing or invalid.',
  FORBIDDEN_ERROR: 'This request is forbidden for security reasons',
  'FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED': 'A required agreement is missing or has expired.',
  PATH_ERROR: 'The URL path is not valid',
  NOT_FOUND: 'The specified resource does not exist',
  METHOD_NOT_ALLOWED: 'The method is not allowed for this resource',
  ENTITY_ERROR: 'The request entity is not acceptable',
  'ENTITY_ERROR.ATTRIBUTE.INVALID': 'An attribute value is invalid.',
  'ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE': 'The attribute value has already been used.',
  'ENTITY_ERROR.RELATIONSHIP.INVALID': 'A relationship value is not acceptable.',
  NOT_ACCEPTABLE: 'The Accept header does not allow JSON',
  UNSUPPORTED_MEDIA_TYPE: 'The Content-Type is not supported',
  ENTITY_UNPROCESSABLE: 'The request body has the wrong shape',
  RATE_LIMIT_EXCEEDED: 'The request rate limit has been reached.',
  UNEXPECTED_ERROR: 'An unexpected error occurred.',
} as const;

/** The codes that this sandbox returns itself. */
type AppleCode = keyof typeof titles;
type Source = { readonly pointer: string } | { readonly parameter: string };

/** A request that creates, changes or deletes a resource. `answer` is called only if the resource in the path exists. */
export type Write = readonly [method: 'POST' | 'PATCH' | 'DELETE', type: TypeName, answer: (call: Call) => AppleAnswer];

/**
 * A refusal by the simulated Apple. Handlers throw it, and one place converts it to a response. It is not a
 * `WebdistError`, because it is part of the simulation and not a failure of webdist.
 */
export class AppleRefusal extends Error {
  readonly status: number;
  readonly code: AppleCode;
  readonly source: Source | undefined;

  constructor(status: number, code: AppleCode, detail: string, source?: Source) {
    super(detail);
    this.status = status;
    this.code = code;
    this.source = source;
  }
}

/**
 * Returns a response with Apple's error body (docs/apple-facts.md §4.9). `code` may be one that this sandbox never
 * returns itself.
 */
export function errorAnswer(status: number, code: string, detail: string, source?: Source): AppleAnswer {
  const title = Object.hasOwn(titles, code) ? titles[code as AppleCode] : 'The request could not be processed.';
  const error = { id: randomUUID(), status: String(status), code, title, detail, ...(source && { source }) };
  return { status, body: { errors: [error] } };
}

/** Reads a JSON body. Throws 400 `ENTITY_INVALID` if it is not JSON, 422 `ENTITY_UNPROCESSABLE` if it has the wrong shape. */
export function readEntity<T>(text: string, schema: z.ZodType<T>): T {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new AppleRefusal(400, 'ENTITY_INVALID', 'The request entity is not a valid JSON document.');
  }
  const result = schema.safeParse(content);
  if (result.success) return result.data;
  throw new AppleRefusal(422, 'ENTITY_UNPROCESSABLE', z.prettifyError(result.error), {
    pointer: pointerTo(result.error),
  });
}

/** Returns the JSON pointer to the first problem (RFC 6901 §3, §4). For an unknown member, it points to the member. */
function pointerTo({ issues: [issue] }: z.ZodError): string {
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  const tokens = [...(issue?.path ?? []), ...unknown].map(String);
  return tokens.map((token) => `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}
