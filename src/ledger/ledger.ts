/** The ledger backends, one row each: a URL's scheme names one. */

import { WebdistError } from '../errors.ts';
import type { Ledger, LedgerReplica } from './contract.ts';

/** What the rest of the service may ask about a backend, instead of its scheme. */
export type LedgerBackend = {
  /** Its name in messages. */
  readonly name: string;
  /** A valid URL, for messages. */
  readonly example: string;
  readonly form: RegExp;
  /** Replicas on different machines can use it together, also for what they know of App Store Connect. */
  readonly isShared: boolean;
  /** It still knows after a restart what it stored before. */
  readonly isDurable: boolean;
  /** It stores installs at all. */
  readonly isOn: boolean;
  /** The file that a URL names, for a backend that is one file. */
  readonly fileOf?: (url: string) => string;
  /** Loads the backend's module: the function that opens a ledger. */
  readonly load: () => Promise<(url: string) => Promise<Ledger> | Ledger>;
  /** The same for a read replica, where the backend can have one. */
  readonly loadReplica?: () => Promise<(url: string) => Promise<LedgerReplica>>;
};

type Scheme = 'sqlite' | 'memory' | 'postgres' | 'postgresql' | 'off';

const postgres: LedgerBackend = {
  name: 'PostgreSQL',
  example: 'postgres://…',
  form: /^postgres(ql)?:\/\/./,
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

/** Whether a text names a ledger: a known scheme, and the form that its backend expects. */
export const isLedgerUrl = (text: string): boolean => backendOf(text)?.form.test(text) ?? false;

/** The forms of a ledger's URL, for a message: `sqlite:///path, postgres://…, memory: or off`. */
export const LEDGER_FORMS: string = [...new Set(Object.values(backends).map(({ example }) => example))]
  .join(', ')
  .replace(/, (?=[^,]*$)/, ' or ');

/** The backend that a URL names. Throws `config_invalid` for a scheme that no backend has. */
export function ledgerBackend(url: string): LedgerBackend {
  const backend = backendOf(url);
  if (!backend) throw new WebdistError('config_invalid', `WEBDIST_LEDGER: expected ${LEDGER_FORMS}.`);
  return backend;
}

/**
 * Opens the ledger that a URL names. A database server that cannot be reached is not an error here: its ledger answers
 * once the server is back.
 * Throws `config_invalid` for an unknown scheme or a server that refuses the login, `state_invalid` for a ledger that
 * this version cannot use.
 */
export async function openLedger(url: string): Promise<Ledger> {
  const open = await ledgerBackend(url).load();
  return open(url);
}
