/** Random histories of devices and apps, told to a ledger and to a small model of the rule: they never disagree. */

import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { Ledger, LedgerOptions } from '../../src/ledger/contract.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import {
  counts,
  type Dtype,
  type Evidence,
  RESTORE_EVIDENCE,
  TOKEN_MEMORY_SECONDS,
  UPDATE_DTYPE,
} from '../../src/ledger/rule.ts';
import { noPostgres, openPostgresServer } from '../harness/postgres.ts';
import { entryOf, LIFETIME, NOW, newNonce, subjectOf } from './contract.ts';

t.setTimeout(120_000);

const RUNS = 100;
const STEPS_PER_RUN = 50;
const DAY = 86_400;
const RETENTION_DAYS = 30;

type Step =
  | { readonly kind: 'issue' | 'update' | 'restore' | 'confirm'; readonly device: number; readonly app: number }
  | { readonly kind: 'tap' | 'use'; readonly device: number; readonly token: number }
  | { readonly kind: 'pass'; readonly seconds: number }
  | { readonly kind: 'crash' | 'prune' }
  | { readonly kind: 'forget'; readonly device: number };

const device = fc.nat({ max: 2 });
const app = fc.nat({ max: 1 });
const onApp = fc.record({ kind: fc.constantFrom('issue', 'update', 'restore', 'confirm'), device, app });
/** Evidence that names a token, possibly another's or one that was never issued. */
const onToken = fc.record({ kind: fc.constantFrom('tap', 'use'), device, token: fc.nat({ max: 60 }) });
const edges = fc.constantFrom(1, LIFETIME - 1, LIFETIME, TOKEN_MEMORY_SECONDS, RETENTION_DAYS * DAY);
const pass = fc.record({ kind: fc.constant('pass'), seconds: fc.oneof(edges, fc.nat({ max: 2 * LIFETIME })) });
const rare = fc.oneof(
  fc.record({ kind: fc.constantFrom('crash', 'prune') }),
  fc.record({ kind: fc.constant('forget'), device }),
);
const step = fc.oneof(
  { weight: 6, arbitrary: onApp },
  { weight: 4, arbitrary: onToken },
  { weight: 4, arbitrary: pass },
  { weight: 1, arbitrary: rare },
) as fc.Arbitrary<Step>;
const history = fc.array(step, { minLength: STEPS_PER_RUN, maxLength: STEPS_PER_RUN, size: 'max' });

/** The rule in other words than the product's: what was installed when, and which tokens are known. */
class Model {
  readonly installs = new Map<string, number>();
  readonly tokens = new Map<string, { readonly device: number; readonly app: number; readonly at: number }>();
  readonly #setting: Evidence;

  constructor(setting: Evidence) {
    this.#setting = setting;
  }

  evidence(kind: Evidence, device: number, app: number, at: number) {
    const key = `${device} ${app}`;
    if (counts(kind, this.#setting) && !this.installs.has(key)) this.installs.set(key, at);
  }

  issue(nonce: string, device: number, app: number, at: number): string {
    const installedAt = this.installs.get(`${device} ${app}`);
    this.tokens.set(nonce, { device, app, at });
    this.evidence('issue', device, app, at);
    return installedAt === undefined || at - installedAt < LIFETIME ? 'download' : 'redownload';
  }

  prune(at: number) {
    for (const [nonce, token] of this.tokens) if (at - token.at > TOKEN_MEMORY_SECONDS) this.tokens.delete(nonce);
    for (const [key, installedAt] of this.installs)
      if (at - installedAt > RETENTION_DAYS * DAY) this.installs.delete(key);
  }

  forget(device: number) {
    for (const [nonce, token] of this.tokens) if (token.device === device) this.tokens.delete(nonce);
    for (const key of this.installs.keys()) if (key.startsWith(`${device} `)) this.installs.delete(key);
  }
}

/** Tells one history to both; `crash` gives a ledger opened anew after a crash of what can crash. */
async function play(
  steps: readonly Step[],
  setting: Evidence,
  first: Ledger,
  crash: (ledger: Ledger) => Promise<Ledger>,
) {
  const model = new Model(setting);
  const nonces: string[] = [];
  let ledger = first;
  let now = NOW;
  const agree = (what: string, found: unknown, expected: unknown) => {
    if (found !== expected) throw new Error(`${what}: the ledger says ${found}, the model ${expected}`);
  };
  const appOf = (number: number) => `650000000${number}`;
  const confirm = async (kind: Evidence, device: number, app: number) => {
    model.evidence(kind, device, app, now);
    if (counts(kind, setting))
      await ledger.confirm([{ appleItemId: appOf(app), subject: subjectOf(`${device}`) }], now);
  };
  const issue = async (device: number, app: number, { said, evidence }: { said?: Dtype; evidence?: Evidence } = {}) => {
    const entry = entryOf(subjectOf(`${device}`), now, { app: { appleItemId: appOf(app) }, dtype: said, evidence });
    nonces.push(entry.nonce);
    const [dtype] = await ledger.record([entry]);
    const expected = model.issue(entry.nonce, device, app, now);
    if (evidence) model.evidence(evidence, device, app, now);
    agree('dtype', dtype, said ?? expected);
  };
  const useToken = async (kind: Evidence, nonce: string, device?: number) => {
    const token = model.tokens.get(nonce);
    if (token && (device === undefined || token.device === device)) model.evidence(kind, token.device, token.app, now);
    const subject = device === undefined ? undefined : subjectOf(`${device}`);
    if (counts(kind, setting)) await ledger.confirm([{ nonce, subject }], now);
  };

  for (const step of steps) {
    if (step.kind === 'issue') await issue(step.device, step.app);
    else if (step.kind === 'update') await issue(step.device, step.app, { said: UPDATE_DTYPE });
    else if (step.kind === 'confirm') await confirm('confirm', step.device, step.app);
    else if (step.kind === 'restore') await issue(step.device, step.app, { evidence: RESTORE_EVIDENCE });
    else if (step.kind === 'tap') await useToken('tap', nonces[step.token] ?? newNonce(), step.device);
    else if (step.kind === 'use') await useToken('confirm', nonces[step.token] ?? newNonce());
    else if (step.kind === 'pass') now += step.seconds;
    else if (step.kind === 'crash') ledger = await crash(ledger);
    else if (step.kind === 'forget') {
      model.forget(step.device);
      await ledger.forget(subjectOf(`${step.device}`));
    } else {
      model.prune(now);
      await ledger.prune(now);
    }
  }
  const { installs, tokens } = await ledger.stats();
  agree('installs', installs, model.installs.size);
  agree('tokens', tokens, model.tokens.size);
  await ledger.close();
}

const evidences = fc.constantFrom<Evidence>('confirm', 'tap', 'issue');
const optionsFor = (evidence: Evidence): LedgerOptions => ({
  lifetimeSeconds: LIFETIME,
  evidence,
  retentionDays: RETENTION_DAYS,
});
const runs = { numRuns: RUNS, interruptAfterTimeLimit: 100_000, markInterruptAsFailure: true };

await t.test(`SQLite: ${RUNS * STEPS_PER_RUN} steps`, async (test) => {
  const folder = test.testdir();
  let files = 0;
  await fc.assert(
    fc.asyncProperty(history, evidences, async (steps, evidence) => {
      const url = `sqlite://${join(folder, `${++files}.sqlite`)}`;
      const open = () => openLedger(url, optionsFor(evidence));
      // A crash leaves the file and its log behind without a goodbye: a second ledger beside the first sees just that.
      const abandoned: Ledger[] = [];
      await play(steps, evidence, await open(), async (ledger) => {
        abandoned.push(ledger);
        return open();
      });
      for (const ledger of abandoned) await ledger.close();
    }),
    runs,
  );
  test.pass('no difference');
});

await t.test(`PostgreSQL: ${RUNS * STEPS_PER_RUN} steps`, { skip: noPostgres }, async (test) => {
  const server = await openPostgresServer();
  test.teardown(() => server.close());
  const url = await server.freshUrl();
  const database = url.split('/').at(-1) ?? '';
  await (await openLedger(url, optionsFor('tap'))).close();
  let crashes = 0;
  await fc.assert(
    fc.asyncProperty(history, evidences, async (steps, evidence) => {
      await server.admin('TRUNCATE webdist_install, webdist_install_token', database);
      const open = () => openLedger(url, optionsFor(evidence));
      await play(steps, evidence, await open(), async (ledger) => {
        // The server crashes now and then, else this service's connections are cut.
        if (++crashes % 20 === 0) {
          server.stop('immediate');
          server.start();
        } else
          await server.admin(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'webdist'`,
          );
        await ledger.close();
        return open();
      });
    }),
    runs,
  );
  test.pass('no difference');
});
