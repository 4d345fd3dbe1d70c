/**
 * `postgres://` URLs as libpq reads them (https://www.postgresql.org/docs/current/libpq-connect.html, "Connection
 * URIs"): several hosts, `target_session_attrs`, and `sslmode` with libpq's meaning. The parser of `pg` is not used,
 * because it supports only one host, and gives `sslmode` a different meaning.
 */

import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { WebdistError } from '../errors.ts';

/** With TLS, or without. */
export type Tls = ConnectionOptions | false;

export type Host = {
  readonly host: string;
  readonly port: number;
  /** In the order in which they are tried. */
  readonly ways: readonly Tls[];
};

export type TargetSession = (typeof TARGETS)[number];

export type PostgresAddress = {
  /** In the order in which they are tried. */
  readonly hosts: readonly Host[];
  readonly target: TargetSession;
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly database: string | undefined;
  /** Command-line options for the server, such as `options=-c search_path=webdist`. */
  readonly options: string | undefined;
  readonly applicationName: string;
  readonly usesChannelBinding: boolean;
};

const TARGETS = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
type Mode = (typeof MODES)[number];

const used = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'target_session_attrs', 'options', 'application_name'];
/** Each part of the URL can also be given as an option. */
const places = ['host', 'port', 'user', 'password', 'dbname'];
/** Accepted, because other programs need them; webdist has its own time limits, and speaks UTF-8. */
const withoutEffect = [
  'connect_timeout',
  'keepalives',
  'keepalives_idle',
  'gssencmode',
  'client_encoding',
  'fallback_application_name',
];
const options = new Set([...used, ...places, 'channel_binding', ...withoutEffect]);

/** Returns the problem with the options of such a URL, without its values; undefined if there is none. */
export function postgresUrlProblem(url: string): string | undefined {
  const query = queryOf(url);
  const [mode, target] = [query.get('sslmode'), query.get('target_session_attrs')];
  if ([...query.keys()].some((name) => !options.has(name)))
    return `the URL has an option that webdist does not know; it knows ${[...options].join(', ')}`;
  if (mode !== null && !isOneOf(MODES, mode)) return `sslmode: expected one of ${MODES.join(', ')}`;
  if (target !== null && !isOneOf(TARGETS, target))
    return `target_session_attrs: expected one of ${TARGETS.join(', ')}`;
  return undefined;
}

/**
 * Parses a connection URL. Its form must have been checked (`isConnectionUrl`). Throws `config_invalid` for a
 * certificate that cannot be read.
 */
export function parsePostgresUrl(url: string): PostgresAddress {
  const [, userInfo = '', hosts = '', name = ''] = /^[a-z]+:\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?/.exec(url) ?? [];
  const query = queryOf(url);
  const [user, password] = userInfo.split(':').map(decodeURIComponent);
  return {
    hosts: hostsOf(query.get('host') ?? hosts, query.get('port')).map((place) => ({
      ...place,
      ways: place.host.startsWith('/') ? [false] : tlsOf(query),
    })),
    target: (query.get('target_session_attrs') ?? 'any') as TargetSession,
    user: query.get('user') ?? (user || undefined),
    password: query.get('password') ?? (password || undefined),
    database: query.get('dbname') ?? (decodeURIComponent(name) || undefined),
    options: query.get('options') ?? undefined,
    applicationName: query.get('application_name') ?? 'webdist',
    usesChannelBinding: ['prefer', 'require'].includes(query.get('channel_binding') ?? ''),
  };
}

const PORT = 5432;

/** `a:1,b:2`; with one port for all in the option `port`, or one for each. Each host is percent-decoded: it can be a socket's folder. */
function hostsOf(hosts: string, ports: string | null) {
  const portList = ports?.split(',') ?? [];
  return hosts.split(',').map((text, index) => {
    const [, bracketed, plain, port] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(text) ?? [];
    const host = decodeURIComponent(bracketed ?? plain ?? '') || 'localhost';
    return { host, port: Number(port ?? portList[index] ?? portList[0] ?? PORT) };
  });
}

/** The ways to try, in order (libpq, "SSL Mode Descriptions"). Without `sslrootcert`, the authorities are those of Node.js. */
function tlsOf(query: URLSearchParams): readonly Tls[] {
  const mode = (query.get('sslmode') ?? 'prefer') as Mode;
  if (mode === 'disable') return [false];
  const root = query.get('sslrootcert');
  const ca = root === null || root === 'system' ? undefined : readOption(query, 'sslrootcert');
  const [cert, key] = [readOption(query, 'sslcert'), readOption(query, 'sslkey')];
  const own = { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
  if (mode === 'verify-full' || root === 'system') return [own];
  // As in libpq, a given certificate authority is also used with `require`.
  if (mode === 'verify-ca' || (mode === 'require' && ca)) return [{ ...own, checkServerIdentity: () => undefined }];
  const unverified = { ...own, rejectUnauthorized: false };
  if (mode === 'require') return [unverified];
  return mode === 'allow' ? [false, unverified] : [unverified, false];
}

function readOption(query: URLSearchParams, name: string): Buffer | undefined {
  const path = query.get(name);
  if (path === null) return undefined;
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new WebdistError('config_invalid', `${name}: the file in the URL of PostgreSQL cannot be read (${code}).`, {
      cause,
    });
  }
}

/** As in libpq, and unlike in a form, `+` is a plus. */
const queryOf = (url: string) => new URLSearchParams((/\?(.*)$/s.exec(url)?.[1] ?? '').replaceAll('+', '%2B'));

const isOneOf = (all: readonly string[], value: string) => all.includes(value);
