/** What all of Apple's answers have in common: error bodies, envelopes, query parameters, pages (docs/apple-facts.md §4.8, §4.9). */

import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { SandboxStore } from '../state.ts';
import type { Cdn } from './cdn.ts';

/** One response. A string body is sent as plain text unless `headers` say otherwise; an object is sent as JSON. */
export type AppleAnswer = {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | object;
};

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

/**
 * A refusal by the simulated Apple; thrown by handlers, converted to a response in one place. Not a `WebdistError`: it is
 * part of the simulation, not a failure of webdist.
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

/** A response with Apple's error body (docs/apple-facts.md §4.9); `code` may be one that this sandbox never returns itself. */
export function errorAnswer(status: number, code: string, detail: string, source?: Source): AppleAnswer {
  const title = Object.hasOwn(titles, code) ? titles[code as AppleCode] : 'The request could not be processed.';
  const error = { id: randomUUID(), status: String(status), code, title, detail, ...(source && { source }) };
  return { status, body: { errors: [error] } };
}

/** The query parameters that a path accepts, each with a test of its value. */
export type QueryRules = Readonly<Record<string, (value: string) => boolean>>;
/** Checked query parameters by name. */
export type Query = ReadonlyMap<string, string>;

/** A whole number from 1 to 200. */
export const isLimit = (value: string) => /^[1-9][0-9]{0,2}$/.test(value) && Number(value) <= 200;
/** `true` or `false`. */
export const isBoolean = (value: string) => value === 'true' || value === 'false';
/** A comma-separated list with at least one member, none of them empty. */
export const isList = (value: string) => value !== '' && value.split(',').every((member) => member !== '');
/** A comma-separated list that contains only these words. */
export const isListOf =
  (...allowed: readonly string[]) =>
  (value: string) =>
    value.split(',').every((member) => allowed.includes(member));

/** Checks the query of a request. Throws 400 `PARAMETER_ERROR.ILLEGAL` or `.INVALID`. */
export function readQuery(parameters: URLSearchParams, rules: QueryRules): Query {
  const query = new Map<string, string>();
  for (const [parameter, value] of parameters) {
    const isValid = Object.hasOwn(rules, parameter) ? rules[parameter] : undefined;
    if (!isValid)
      throw new AppleRefusal(
        400,
        'PARAMETER_ERROR.ILLEGAL',
        `The parameter '${parameter}' can not be used with this request.`,
        { parameter },
      );
    if (query.has(parameter) || !isValid(value))
      throw new AppleRefusal(
        400,
        'PARAMETER_ERROR.INVALID',
        `'${value}' is not a valid value for the parameter '${parameter}'.`,
        { parameter },
      );
    query.set(parameter, value);
  }
  return query;
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
  const pointer = `/${(result.error.issues[0]?.path ?? []).map(String).join('/')}`;
  throw new AppleRefusal(422, 'ENTITY_UNPROCESSABLE', z.prettifyError(result.error), { pointer });
}

/** The item with the id in the path. Throws 404 `NOT_FOUND`. */
export function itemOf<T extends { readonly id: string }>(call: Call, items: readonly T[], type: string): T {
  const item = items.find(({ id }) => id === call.id);
  if (!item) throw new AppleRefusal(404, 'NOT_FOUND', `There is no resource of type '${type}' with id '${call.id}'.`);
  return item;
}

/** The attributes of an item that `fields[type]` selects; all of them by default. */
export function attributesOf<T, Name extends keyof T & string>(
  call: Call,
  type: string,
  names: readonly Name[],
  item: T,
): Record<string, unknown> {
  const selected = call.query.get(`fields[${type}]`)?.split(',');
  const kept = names.filter((name) => selected?.includes(name) ?? true);
  return Object.fromEntries(kept.map((name) => [name, item[name]]));
}

/** A single resource at `path`. */
export const single = (call: Call, path: string, data: object) => ({ data, links: { self: call.origin + path } });

const DEFAULT_LIMIT = 50;

/** One page of a collection: takes all items, renders those of the page. Throws 400 for a bad cursor. */
export function page<T>(call: Call, items: readonly T[], render: (item: T) => object): AppleAnswer {
  const limit = Number(call.query.get('limit') ?? DEFAULT_LIMIT);
  const begin = beginOf(call.query.get('cursor'));
  const end = begin + limit;
  const nextCursor = end < items.length ? cursorFor(end) : undefined;
  const links = {
    self: call.origin + call.target,
    first: linkTo(call, undefined),
    ...(nextCursor && { next: linkTo(call, nextCursor) }),
  };
  const paging = { total: items.length, limit, ...(nextCursor && { nextCursor }) };
  return { status: 200, body: { data: items.slice(begin, end).map(render), links, meta: { paging } } };
}

function linkTo(call: Call, cursor: string | undefined): string {
  const url = new URL(call.target, call.origin);
  url.searchParams.delete('cursor');
  if (cursor) url.searchParams.set('cursor', cursor);
  return url.href;
}

const cursorFor = (begin: number) => Buffer.from(`from:${begin}`).toString('base64url');

function beginOf(cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const begin = /^from:([1-9][0-9]{0,8})$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1];
  if (begin === undefined)
    throw new AppleRefusal(400, 'PARAMETER_ERROR.INVALID', `'${cursor}' is not a valid cursor.`, {
      parameter: 'cursor',
    });
  return Number(begin);
}
