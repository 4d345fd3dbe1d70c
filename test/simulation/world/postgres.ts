/**
 * Stands in for the package `pg`: a pool of connections to one simulated PostgreSQL. What was committed is never lost, but the
 * answer can be. Transactions see what others have committed before each of their statements (READ COMMITTED).
 */

import { networkError, request } from './network.ts';
import { emptyTables, runStatement, type Tables } from './postgres-statements.ts';
import { machineNow, schedule, trueTime, wait } from './scheduler.ts';

/** What PostgreSQL answers instead of a result. */
export class DatabaseError extends Error {
  readonly code: string;
  constructor(message: string, code: string) {
    super(message);
    this.code = code;
  }
}

/** The state of the simulated server, which faults change. */
type PostgresServer = {
  tables: Tables;
  /** Refuses connections: a failover. */
  isDown: boolean;
  /** How long each statement takes. */
  serviceMs: number;
  /** Commits, and loses the answer. */
  losesAnswers: boolean;
  isFull: boolean;
  /** The server's clock minus the true time. */
  offsetMs: number;
  /** Advisory locks, each with the transactions that wait for it. */
  readonly locks: Map<number, (() => void)[]>;
  /** What was executed, in order, for the replay on a real server; undefined unless it is recorded. */
  readonly history: { text: string; values: readonly unknown[]; nowSeconds: number; rows: unknown[] }[] | undefined;
  /** The statements in progress; a failover ends them. */
  readonly underWay: Set<() => void>;
};

const newServer = (keepsHistory: boolean): PostgresServer => ({
  tables: emptyTables(),
  isDown: false,
  serviceMs: 0,
  losesAnswers: false,
  isFull: false,
  offsetMs: 0,
  locks: new Map(),
  history: keepsHistory ? [] : undefined,
  underWay: new Set(),
});

export let postgres: PostgresServer = newServer(false);

export function resetPostgres(keepsHistory: boolean): void {
  postgres = newServer(keepsHistory);
}

/** The primary fails: no connection is accepted, and every connection ends. */
export function failOver(isDown: boolean): void {
  postgres.isDown = isDown;
  if (isDown) for (const end of postgres.underWay) end();
}

type Options = { query_timeout: number; statement_timeout: number | false };
type Config = { text: string; values?: readonly unknown[]; query_timeout?: number } | string;
type Result = { rows: Record<string, unknown>[] };

const nowSeconds = () => (trueTime() + postgres.offsetMs) / 1000;

/** A connection outside of a transaction, or in one. */
class Session {
  /** The client has closed the connection, or is dead. */
  #isClosed = false;
  /** In a transaction. */
  #isOpen = false;
  #startedAt = 0;
  #writes: { text: string; values: readonly unknown[] }[] = [];
  #locks: number[] = [];
  #statementMs: number | undefined;

  constructor(statementMs: number | false) {
    this.#statementMs = statementMs || undefined;
  }

  async run(text: string, values: readonly unknown[]): Promise<Record<string, unknown>[]> {
    if (postgres.isDown) throw networkError('ECONNREFUSED');
    if (this.#isClosed) throw networkError('ECONNRESET');
    if (text === 'BEGIN') return this.#begin();
    if (text === 'COMMIT') return this.#commit();
    if (text.startsWith('SET LOCAL')) return this.#limit(Number(text.split('=')[1]));
    if (text.startsWith('SELECT pg_advisory_xact_lock')) return this.#lock(Number(values[0]));
    const { serviceMs } = postgres;
    if (serviceMs > (this.#statementMs ?? Number.POSITIVE_INFINITY)) {
      await wait(this.#statementMs ?? 0, null);
      throw new DatabaseError('canceling statement due to statement timeout', '57014');
    }
    if (serviceMs > 0) await wait(serviceMs, null);
    if (postgres.isDown) throw new Error('Connection terminated unexpectedly');
    if (postgres.isFull && !text.trimStart().startsWith('SELECT'))
      throw new DatabaseError('could not extend file: No space left on device', '53100');
    if (!this.#isOpen) return execute(postgres.tables, text, values, nowSeconds());
    const draft = structuredClone(postgres.tables);
    for (const write of this.#writes) runStatement(draft, write.text, write.values, this.#startedAt);
    const rows = runStatement(draft, text, values, this.#startedAt);
    if (!text.trimStart().startsWith('SELECT')) this.#writes.push({ text, values });
    return rows;
  }

  #begin() {
    this.#isOpen = true;
    this.#startedAt = nowSeconds();
    return [];
  }

  #limit(ms: number) {
    this.#statementMs = ms;
    return [];
  }

  async #lock(id: number) {
    const waiting = postgres.locks.get(id);
    if (waiting) await new Promise<void>((resolve) => waiting.push(resolve));
    else postgres.locks.set(id, []);
    this.#locks.push(id);
    // It waited longer than its client did.
    if (this.#isClosed) this.#rollBack();
    return [];
  }

  #commit() {
    // Rows that others have changed since are evaluated again.
    for (const { text, values } of this.#writes) execute(postgres.tables, text, values, this.#startedAt);
    this.#rollBack();
    return [];
  }

  /** The connection ends. */
  close() {
    this.#isClosed = true;
    this.#rollBack();
  }

  /** Discards uncommitted changes, and releases the locks. */
  #rollBack() {
    this.#isOpen = false;
    this.#writes = [];
    for (const id of this.#locks) {
      const next = postgres.locks.get(id)?.shift();
      if (next) next();
      else postgres.locks.delete(id);
    }
    this.#locks = [];
  }
}

function execute(tables: Tables, text: string, values: readonly unknown[], now: number) {
  const rows = runStatement(tables, text, values, now);
  postgres.history?.push({ text, values: structuredClone(values), nowSeconds: now, rows });
  return rows;
}

/** Sends one statement over the network. */
function send(session: Session, config: Config, options: Options): Promise<Result> {
  const { text, values = [], query_timeout: ownMs } = typeof config === 'string' ? { text: config } : config;
  const timeoutMs = ownMs ?? options.query_timeout;
  const answering = request({ name: 'PostgreSQL', isConnection: true }, async () => {
    const rows = await new Promise<Record<string, unknown>[]>((resolve, reject) => {
      const end = () => reject(new Error('Connection terminated unexpectedly'));
      postgres.underWay.add(end);
      session
        .run(text, values)
        .then(resolve, reject)
        .finally(() => postgres.underWay.delete(end));
    });
    if (postgres.losesAnswers) throw new Error('Connection terminated unexpectedly');
    return { rows };
  });
  return new Promise((resolve, reject) => {
    const cancel = schedule(timeoutMs, () => reject(new Error('Query read timeout')));
    answering.then(resolve, reject).finally(cancel);
  });
}

export class Pool {
  readonly #options: Options;
  constructor(options: Options) {
    this.#options = options;
  }
  on() {
    return this;
  }
  query(config: Config): Promise<Result> {
    return send(new Session(this.#options.statement_timeout), config, this.#options);
  }
  async connect() {
    const session = new Session(this.#options.statement_timeout);
    // The connection of a process that is killed ends.
    const end = () => session.close();
    const machine = machineNow();
    machine?.onKill.add(end);
    await send(session, 'SELECT 1', this.#options);
    return {
      on: () => undefined,
      removeListener: () => undefined,
      query: (config: Config) => send(session, config, this.#options),
      release: () => {
        machine?.onKill.delete(end);
        end();
      },
    };
  }
  async end(): Promise<void> {
    // Nothing to end: a session exists only during its statements.
  }
}
