/** The table of ledger backends. The scheme of a URL selects one. */

import { existsSync } from 'node:fs';
import { WebdistError } from '../errors.ts';
import type { Ledger, LedgerAddress, LedgerReplica } from './contract.ts';
import { postgresUrlProblem } from './postgres-url.ts';

/** The properties of a backend, which the rest of the service uses instead of the scheme. */
export type LedgerBackend = {
  /** Its name in messages. */
  readonly name: string;
  /** A valid URL, for messages. */
  readonly example: string;
  readonly form: RegExp;
  /** Returns what else is wrong with a URL of that form, without its values; undefined if nothing is. */
  readonly problemOf?: (url: string) => string | undefined;
  /** Replicas on different machines can share it. They then share their registration store, too. */
  readonly isShared: boolean;
  /** Its installs survive a restart. */
  readonly isDurable: boolean;
  /** It stores installs at all. */
  readonly isOn: boolean;
  /** Returns the path in a URL, for a backend that is one file. */
  readonly fileOf?: (url: string) => string;
  /** Loads the backend's module, and returns the function that opens a ledger. */
  readonly load: () => Promise<(address: LedgerAddress) => Promise<Ledger> | Ledger>;
  /** The same for a read replica; undefined if the backend has none. */
  readonly loadReplica?: () => Promise<(address: LedgerAddress) => Promise<LedgerReplica>>;
};

type Scheme = 'sqlite' | 'memory' | 'postgres' | 'postgresql' | 'off';

const postgres: LedgerBackend = {
  name: 'PostgreSQL',
  example: 'postgres://…',
  form: /^postgres(ql)?:\/\/./,
  problemOf: postgresUrlProblem,
  isShared: true,
  isDurable: true,
  isOn: true,
  load: async () => (await import('./postgres.ts')).openPostgres,
  loadReplica: async () => (await import('./postgres.ts')).openPostgresReplica,
};

const backends: Readonly<Record<Scheme, LedgerBackend>> = {
  sqlite: {
    name: 'SQLite',
    example: 'sqlite:///path',
    form: /^sqlite:\/\/\/./,
    isShared: false,
    isDurable: true,
    isOn: true,
    fileOf: (url) => url.slice('sqlite://'.length),
    load: async () => (await import('./sqlite.ts')).openSqlite,
  },
  postgres,
  // The same backend: PostgreSQL's own tools accept either spelling.
  postgresql: postgres,
  memory: {
    name: 'memory',
    example: 'memory:',
    form: /^memory:$/,
    isShared: false,
    isDurable: false,
    isOn: true,
    load: async () => (await import('./sqlite.ts')).openSqlite,
  },
  off: {
    name: 'off',
    example: 'off',
    form: /^off$/,
    isShared: false,
    isDurable: false,
    isOn: false,
    load: async () => (await import('./off.ts')).openOff,
  },
};

const backendOf = (url: string): LedgerBackend | undefined =>
  new Map(Object.entries(backends)).get(/^[a-z]+/.exec(url)?.[0] ?? '');

/** Whether a text is the URL of a ledger: its scheme is known, and it has the form that this backend expects. */
export const isLedgerUrl = (text: string): boolean => backendOf(text)?.form.test(text) ?? false;

/** The forms of a ledger's URL, for a message: `sqlite:///path, postgres://…, memory: or off`. */
export const LEDGER_FORMS: string = [...new Set(Object.values(backends).map(({ example }) => example))]
  .join(', ')
  .replace(/, (?=[^,]*$)/, ' or ');

/** Returns the backend that a URL selects. Throws `config_invalid` for a scheme that no backend has. */
export function ledgerBackend(url: string): LedgerBackend {
  const backend = backendOf(url);
  if (!backend) throw new WebdistError('config_invalid', `WEBDIST_LEDGER: expected ${LEDGER_FORMS}.`);
  return backend;
}

/** Throws `state_invalid` if the ledger is a file that does not exist. */
export function expectLedgerFile(url: string): void {
  const path = ledgerBackend(url).fileOf?.(url);
  if (path !== undefined && !existsSync(path))
    throw new WebdistError('state_invalid', `There is no ledger at ${path}.`, {
      hint: 'Run this command with the same WEBDIST_LEDGER and WEBDIST_DATA_DIR as the service.',
    });
}

/**
 * Opens the ledger that a URL names. A database server that cannot be reached is not an error here. Its ledger answers
 * as soon as the server is back. Throws `config_invalid` for an unknown scheme or a server that refuses the login, and
 * `state_invalid` for a ledger that this version cannot use.
 */
export async function openLedger(where: LedgerAddress | string): Promise<Ledger> {
  const address = typeof where === 'string' ? { url: where } : where;
  const open = await ledgerBackend(address.url).load();
  return open(address);
}
