/**
 * Explains in one sentence why Redis did not carry out a request. The sentence is the same in the log, in health and in
 * the doctor.
 */

import { connectionProblem, type ServerProblem } from '../connection-problem.ts';
import { WebdistError } from '../errors.ts';

type Row = ServerProblem & {
  /** The start of Redis' message, or a part of it. */
  readonly when: RegExp;
  /** True if only another setting can fix it. */
  readonly isUnsupported?: boolean;
};

/** The client's messages for a missing connection, which do not contain the reason. */
const DISCONNECTED = /Connection is closed|isn't writeable|connection close|max retries/;

/** The first word of a Redis error is its code (https://redis.io/docs/latest/develop/reference/protocol-spec/, "Simple errors"). */
const rows: readonly Row[] = [
  {
    when: /^WRONGPASS|invalid password/,
    what: 'rejects the user or the password',
    hint: 'Check the login in WEBDIST_REDIS_URL.',
  },
  {
    when: /^NOAUTH/,
    what: 'requires a password',
    hint: 'Add it to WEBDIST_REDIS_URL: redis://:PASSWORD@HOST or redis://USER:PASSWORD@HOST.',
  },
  {
    when: /^NOPERM|^ERR.* ACL/,
    what: 'does not allow this user the commands or the keys that webdist needs',
    hint: 'Grant them: ACL SETUSER … ~webdist-* +eval +incrby +pexpire +pttl +set.',
  },
  {
    when: /READONLY/,
    what: 'is a read-only replica',
    hint: 'WEBDIST_REDIS_URL must name the primary, by an address that moves with it.',
  },
  { when: /^MASTERDOWN/, what: 'is a replica that has lost its primary' },
  {
    when: /^(CROSSSLOT|MOVED|ASK|CLUSTERDOWN|TRYAGAIN)|in cluster mode/,
    what: 'runs as a cluster (Redis Cluster), which webdist does not support',
    hint: 'Use a Redis with cluster mode disabled.',
    isUnsupported: true,
  },
  {
    when: /unknown command .?eval/i,
    what: 'has no EVAL command: it is a Redis Sentinel, which webdist does not support, or EVAL is disabled',
    hint: 'WEBDIST_REDIS_URL must name the Redis itself, by an address that moves with the primary.',
    isUnsupported: true,
  },
  { when: /^LOADING/, what: 'is still loading its data' },
  { when: /^MISCONF/, what: 'refuses to write, because it cannot save to its disk' },
  { when: /^OOM/, what: 'refuses to write, because its memory is full' },
  { when: /^NOREPLICAS/, what: 'refuses to write, because too few replicas follow it' },
  { when: /^(BUSY|UNKILLABLE)/, what: 'is busy with a script' },
  { when: /max number of clients/, what: 'has no connection left (maxclients)' },
  { when: /^DENIED/, what: 'refuses connections from other machines, because it runs in protected mode' },
  { when: /index is out of range/, what: 'does not have the database that the URL names' },
  {
    when: /Command timed out|Socket timeout/,
    what: 'does not answer in time',
  },
  { when: DISCONNECTED, what: 'closed the connection' },
  {
    when: /Protocol error|Unknown RESP type/,
    what: 'does not speak the Redis protocol: another kind of server is at this address',
  },
];

/** The row of what Redis or the client threw. */
const rowOf = (error: unknown): Row | undefined =>
  error instanceof Error ? rows.find(({ when }) => when.test(error.message)) : undefined;

/** Whether the client had no connection. An earlier error has the reason. */
export const isDisconnected = (error: unknown): boolean => error instanceof Error && DISCONNECTED.test(error.message);

/** Whether only a new connection can fix it, because after a failover the name leads to another server. */
export const needsNewConnection = (error: unknown): boolean =>
  error instanceof Error && /READONLY|^MASTERDOWN|^NOAUTH/.test(error.message);

/**
 * Returns the error for what the client threw, without its message, which can contain a password. A server that webdist
 * does not support is `config_invalid`, everything else `redis_unavailable`.
 */
export function redisError(thrown: unknown, { usesTls }: { readonly usesTls: boolean }): WebdistError {
  const row = rowOf(thrown);
  const { what, hint } = row ?? withTlsHint(connectionProblem(thrown), usesTls);
  return new WebdistError(row?.isUnsupported ? 'config_invalid' : 'redis_unavailable', `Redis ${what}.`, {
    ...(hint !== undefined && { hint }),
  });
}

/** A port with TLS closes a connection without TLS; a port without TLS does not answer the handshake. */
function withTlsHint(problem: ServerProblem = { what: 'cannot be used' }, usesTls: boolean): ServerProblem {
  if (problem.hint !== undefined || !/ECONNRESET|ETIMEDOUT/.test(problem.what)) return problem;
  const hint = usesTls
    ? 'If it has no TLS on this port, use redis:// instead of rediss://.'
    : 'If it has TLS on this port, use rediss:// instead of redis://.';
  return { ...problem, hint };
}
