/**
 * Turns a thrown value into one line for stderr and an exit code. The messages of libraries' errors are never printed, because
 * they can contain credentials. Error objects are never printed whole, because libraries attach requests and responses
 * to them. Only the members listed here are printed, and only if they have the form of a code.
 */

import { CommanderError } from 'commander';
import { WebdistError } from '../errors.ts';
import { visibleLines } from '../visible.ts';

export type Failure = {
  /** Undefined if commander has already printed it. */
  readonly line: string | undefined;
  /** 1: failed. 2: wrong usage. 0: commander printed help or the version, which it reports by throwing. */
  readonly exitCode: 0 | 1 | 2;
  /** The stack of an error that is not a `WebdistError`, without messages. Printed with LOG_LEVEL=debug. */
  readonly frames: readonly string[];
};

const MAX_CAUSES = 4;
const MAX_FRAMES = 20;

/**
 * Matches class names such as `AccessDeniedException`, and codes such as `ECONNREFUSED`, `28P01`, `ERR_INVALID_URL`.
 */
const CLASS_NAME = /^[A-Z$][A-Za-z$]{1,60}$/;
const CODE = /^(?:E[A-Z0-9]{2,20}|ERR_[A-Z0-9_]{2,60}|[0-9A-Z]{5}|[A-Z]{2,20}(?:_[A-Z0-9]{1,20}){0,5})$/;
const SYSTEM_CALL = /^[a-z]{2,20}$/;

/** Describes any thrown value. Never throws. */
export function failureOf(thrown: unknown): Failure {
  if (isA(CommanderError, thrown)) return { line: undefined, exitCode: thrown.exitCode === 0 ? 0 : 2, frames: [] };
  if (isA(WebdistError, thrown))
    return { line: visibleLines(thrown.message), exitCode: thrown.code === 'usage_invalid' ? 2 : 1, frames: [] };
  return { line: `internal error: ${chainOf(thrown).join(', caused by ')}`, exitCode: 1, frames: framesOf(thrown) };
}

/** The error and its causes, outermost first. */
function chainOf(thrown: unknown): string[] {
  const chain: string[] = [];
  for (let error = thrown; chain.length <= MAX_CAUSES; error = member(error, 'cause') ?? firstInner(error)) {
    if (chain.length > 0 && error === undefined) break;
    chain.push(summaryOf(error));
  }
  return chain;
}

/** The first error of an AggregateError. */
const firstInner = (error: unknown): unknown => member(member(error, 'errors'), '0');

/** The class and the codes of an error, such as `Error (ECONNREFUSED, connect)`. */
function summaryOf(error: unknown): string {
  if (isA(WebdistError, error)) return `${error.name} (${error.code})`;
  if (!hasMembers(error)) return `a thrown ${error === null ? 'null' : typeof error}`;
  const className = member(member(error, 'constructor'), 'name');
  const name =
    firstMatch(isA(Error, error) ? [member(error, 'name'), className] : [className], CLASS_NAME) ?? 'unnamed error';
  const status = firstNumber([
    member(error, 'status'),
    member(error, 'statusCode'),
    member(member(error, '$metadata'), 'httpStatusCode'),
    member(member(error, 'response'), 'status'),
  ]);
  const details = [
    firstMatch([member(error, 'code')], CODE),
    firstMatch([member(error, 'syscall')], SYSTEM_CALL),
    status === undefined ? undefined : `status ${status}`,
  ].filter((detail) => detail !== undefined);
  return details.length === 0 ? name : `${name} (${details.join(', ')})`;
}

const FRAME = /^ {4}at (?:[\w$.<>[\] ]{1,100} \()?(?:file:\/\/\/|node:)[^\s()]{1,300}:\d+:\d+\)?$/;

/** The lines of the stack that name a place in the code. The other lines are the message. */
function framesOf(error: unknown): string[] {
  const stack = member(error, 'stack');
  if (typeof stack !== 'string') return [];
  return stack
    .split('\n')
    .filter((line) => FRAME.test(line))
    .slice(0, MAX_FRAMES);
}

const hasMembers = (value: unknown): value is object =>
  (typeof value === 'object' && value !== null) || typeof value === 'function';

/** The result of `read`; undefined if it throws, as getters and proxies can. */
function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

const member = (value: unknown, name: string): unknown =>
  hasMembers(value) ? attempt(() => (value as Record<string, unknown>)[name]) : undefined;

/** `instanceof`, which can throw for a proxy. */
const isA = <T>(type: new (...args: never[]) => T, value: unknown): value is T =>
  attempt(() => value instanceof type) ?? false;

const firstMatch = (values: readonly unknown[], form: RegExp): string | undefined =>
  values.find((value): value is string => typeof value === 'string' && form.test(value));

const firstNumber = (values: readonly unknown[]): number | undefined =>
  values.find((value): value is number => Number.isInteger(value) && Number(value) >= 100 && Number(value) < 600);
