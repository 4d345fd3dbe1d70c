/**
 * Explains in one sentence why PostgreSQL did not carry out a request. The sentence is the same in the log, in health, in
 * the doctor and on the command line.
 */

import { DatabaseError } from 'pg';
import { connectionProblem, type ServerProblem } from '../connection-problem.ts';
import { isWebdistError, WebdistError } from '../errors.ts';

/** `isPermanent` means that only a person can fix it. */
type Row = ServerProblem & { readonly isPermanent?: boolean };

const GRANT_HINT =
  'Grant it SELECT, INSERT, UPDATE and DELETE on the tables of webdist, and once the right to create them.';
const notGranted: Row = {
  what: 'does not grant this user the privileges that webdist needs',
  hint: GRANT_HINT,
  isPermanent: true,
};

/** By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html). */
const states: Readonly<Record<string, Row>> = {
  '28P01': { what: 'rejects the user or the password', isPermanent: true },
  '28000': { what: 'does not let this user log in from this address (pg_hba.conf)', isPermanent: true },
  '3D000': { what: 'has no database of the name in the URL', isPermanent: true },
  '3F000': { what: 'has no schema in which webdist can create its tables', hint: GRANT_HINT, isPermanent: true },
  '42501': notGranted,
  '42P01': { what: 'does not have the tables of webdist', isPermanent: true },
  '53300': { what: 'has no connection left (too many connections)', hint: 'Raise max_connections, or use PgBouncer.' },
  '53100': { what: 'cannot write, because its disk is full' },
  '53200': { what: 'has no memory left' },
  '25006': {
    what: 'is read-only: a replica, or a server that refuses to write',
    hint: 'The URL must name the primary: add target_session_attrs=read-write, with all hosts.',
  },
  '57014': { what: 'does not answer in time' },
  '57P01': { what: 'is shutting down' },
  '57P02': { what: 'has crashed and is starting again' },
  '57P03': { what: 'is starting or shutting down' },
  '58030': { what: 'cannot read or write its files' },
  XX001: { what: 'reports damaged data' },
  XX002: { what: 'reports a damaged index' },
};

/** The problems by message, for errors of `pg` and PgBouncer without a sufficient code. */
const messages: readonly (Row & { readonly when: RegExp })[] = [
  {
    when: /no encryption|SSL off|SSL required|TLS required/i,
    what: 'does not accept this login without TLS',
    hint: 'Add sslmode=verify-full to the URL.',
    isPermanent: true,
  },
  {
    when: /valid client certificate/,
    what: 'requires a client certificate',
    hint: 'Add sslcert and sslkey to the URL.',
    isPermanent: true,
  },
  {
    when: /does not support SSL/,
    what: 'does not use TLS',
    hint: 'Use sslmode=disable or sslmode=prefer.',
    isPermanent: true,
  },
  { when: /password must be a/, what: 'requires a password, and none is set', isPermanent: true },
  {
    when: /^no such database|^database .* does not exist/,
    what: 'has no database of the name in the URL',
    isPermanent: true,
  },
  { when: /no more connections allowed|too many connections|remaining connection slots/, ...(states['53300'] as Row) },
  { when: /SASL authentication failed|password authentication failed/, ...(states['28P01'] as Row) },
  { when: /timeout expired|timeout exceeded|read timeout|connection timeout/i, what: 'does not answer in time' },
  { when: /Connection terminated|server conn crashed|server closed/, what: 'closed the connection' },
  {
    when: /target_session_attrs/,
    what: 'has no host that meets target_session_attrs',
    hint: 'Check the hosts of the URL.',
  },
];

/** A refused certificate is permanent; a network problem may pass. */
const isPermanentConnection = ({ what }: ServerProblem) => what.includes('certificate') && !what.includes('expired');

function rowOf(error: unknown): Row {
  if (!(error instanceof Error)) return { what: 'cannot answer' };
  const named = messages.find(({ when }) => when.test(error.message));
  if (named) return named;
  const { code } = error as { code?: string };
  if (error instanceof DatabaseError)
    return states[code ?? ''] ?? { what: 'reports an error', isPermanent: code?.startsWith('42') ?? false };
  const connection = connectionProblem(error);
  if (connection) return { ...connection, isPermanent: isPermanentConnection(connection) };
  return { what: 'cannot answer' };
}

/** Returns the sentence, with PostgreSQL's own code if there is one, so that it can be searched. */
function sentenceOf(error: unknown, { what }: Row): string {
  const code = error instanceof DatabaseError && error.code ? ` (${error.code})` : '';
  return `PostgreSQL ${what}${code}.`;
}

/** Returns `ledger_unavailable`, for a caller that waits. Our own errors are returned unchanged. */
export function unavailable(error: unknown): WebdistError {
  if (isWebdistError(error)) return error;
  const row = rowOf(error);
  return new WebdistError('ledger_unavailable', sentenceOf(error, row), {
    ...(row.hint !== undefined && { hint: row.hint }),
    cause: error,
    retryAfterSeconds: 1,
  });
}

/**
 * Returns `config_invalid`, for the start, if only a person can fix the problem; undefined if it may pass by itself.
 * `variable` gave the URL.
 */
export function forPerson(error: unknown, variable: string): WebdistError | undefined {
  if (isWebdistError(error)) return error;
  const row = rowOf(error);
  if (!row.isPermanent) return undefined;
  const check = `Check ${variable}.`;
  return new WebdistError('config_invalid', sentenceOf(error, row), {
    hint: row.hint === undefined ? check : `${row.hint} ${check}`,
    cause: error,
  });
}

/** PgBouncer refuses start-up parameters that it is not configured to ignore. */
export const isPgBouncerRefusal = (error: unknown): boolean =>
  error instanceof Error && /unsupported startup parameter/.test(error.message);

/**
 * True if a pooler between us and the server mixed up named statements (invalid_sql_statement_name,
 * duplicate_prepared_statement). In this case, the statement did not run.
 */
export const isMixedUp = (error: unknown): boolean =>
  error instanceof DatabaseError && (error.code === '26000' || error.code === '42P05');

/**
 * True if the server is no longer the primary, or no longer accepts the login. In this case, the address is read and
 * tried again.
 */
export const isMoved = (error: unknown): boolean =>
  error instanceof DatabaseError && /^(25006|28)/.test(error.code ?? '');

/** True if the connection was lost or could not be made. */
export const isDisconnected = (error: unknown): boolean =>
  !(error instanceof DatabaseError) || /^(57P|08)/.test(error.code ?? '');

/** True if the server offers no TLS. */
export const isTlsRefusal = (error: unknown): boolean =>
  error instanceof Error && /does not support SSL/.test(error.message);

/** Whether connecting to the same host in another way may work: without TLS, or with it. */
export const mayWorkOtherwise = (error: unknown): boolean =>
  isTlsRefusal(error) || (error instanceof DatabaseError && error.code === '28000');
