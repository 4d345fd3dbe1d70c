/**
 * Random histories of devices and apps, applied to the service's records on a real ledger and to a small model of the
 * rule, which must agree.
 */

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import fc from 'fast-check';
import pino from 'pino';
import t from 'tap';
import { issue } from '../../src/install-token/issue.ts';
import { openNonces } from '../../src/install-token/nonce.ts';
import { signingKey } from '../../src/jws.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { counts, type Dtype, type EvidenceKind, RESTORE_EVIDENCE, UPDATE_DTYPE } from '../../src/ledger/rule.ts';
import { openMetrics } from '../../src/metrics.ts';
import { type Evidence, openRecords } from '../../src/service/records.ts';
import { type Subject, subjectHashes } from '../../src/service/subject.ts';
import { noPostgres, openPostgresServer } from '../harness/postgres.ts';
import { LIFETIME, NOW } from './contract.ts';

/** `npm run test:nightly` does more. */
const RUNS = Number(process.env['LEDGER_RUNS'] ?? 20);
/** On a busy machine, a run with PostgreSQL takes seconds. */
const LIMIT_MS = 100_000 + RUNS * 4000;
t.setTimeout(LIMIT_MS * 2);
const STEPS_PER_RUN = 50;
const DAY = 86_400;
const RETENTION_DAYS = 30;

type Step =
  | { readonly kind: 'issue' | 'update' | 'restore' | 'confirm'; readonly device: number; readonly app: number }
  | { readonly kind: 'tap' | 'use'; readonly device: number; readonly token: number }
  /** The licence server confirms: a token, or an app, on a device that has a stable id. */
  | { readonly kind: 'licence'; readonly device: number; readonly token: number }
  | { readonly kind: 'licenceOfApp'; readonly device: number; readonly app: number; readonly hasSubject: boolean }
  | { readonly kind: 'loseCookie'; readonly device: number }
  | { readonly kind: 'pass'; readonly seconds: number }
  | { readonly kind: 'crash' | 'prune' }
  | { readonly kind: 'forget'; readonly device: number };

const device = fc.nat({ max: 2 });
const app = fc.nat({ max: 1 });
const onApp = fc.record({ kind: fc.constantFrom('issue', 'update', 'restore', 'confirm'), device, app });
/** Evidence that names a token, possibly another's or one that was never issued. */
const onToken = fc.record({ kind: fc.constantFrom('tap', 'use'), device, token: fc.nat({ max: 60 }) });
const onDevice = fc.oneof(
  fc.record({ kind: fc.constant('licence'), device, token: fc.nat({ max: 60 }) }),
  fc.record({ kind: fc.constant('licenceOfApp'), device, app, hasSubject: fc.boolean() }),
  fc.record({ kind: fc.constant('loseCookie'), device }),
);
const edges = fc.constantFrom(1, LIFETIME - 1, LIFETIME, DAY, DAY + 59, DAY + 60, RETENTION_DAYS * DAY);
const pass = fc.record({ kind: fc.constant('pass'), seconds: fc.oneof(edges, fc.nat({ max: 2 * LIFETIME })) });
const rare = fc.oneof(
  fc.record({ kind: fc.constantFrom('crash', 'prune') }),
  fc.record({ kind: fc.constant('forget'), device }),
);
const step = fc.oneof(
  { weight: 6, arbitrary: onApp },
  { weight: 4, arbitrary: onToken },
  { weight: 3, arbitrary: onDevice },
  { weight: 4, arbitrary: pass },
  { weight: 1, arbitrary: rare },
) as fc.Arbitrary<Step>;
const history = fc.array(step, { minLength: STEPS_PER_RUN, maxLength: STEPS_PER_RUN, size: 'max' });

/**
 * The rule, written differently from the product: what was installed when, and which tokens were issued when. A subject
 * is a device's number, with the number of cookies that it lost before. A device with a stable id has its own installs.
 */
class Model {
  readonly installs = new Map<string, number>();
  readonly tokens = new Map<string, { readonly subject: string; readonly app: number; readonly at: number }>();
  readonly #setting: EvidenceKind;

  constructor(setting: EvidenceKind) {
    this.#setting = setting;
  }

  evidence(kind: EvidenceKind, subject: string, app: number, at: number) {
    const key = `${subject} ${app}`;
    if (counts(kind, this.#setting) && !this.installs.has(key)) this.installs.set(key, at);
  }

  /** Evidence of a licence server: a subject that has the app later than its device, or not at all, follows the device. */
  licence(device: string, subject: string | undefined, app: number, at: number) {
    this.evidence('confirm', device, app, at);
    const since = this.installs.get(`${device} ${app}`);
    if (subject === undefined || since === undefined) return;
    const known = this.installs.get(`${subject} ${app}`);
    if (known === undefined || since < known) this.installs.set(`${subject} ${app}`, since);
  }

  inTime(nonce: string, at: number) {
    const token = this.tokens.get(nonce);
    return token && Math.floor(at / 60) - Math.floor(token.at / 60) <= 24 * 60 ? token : undefined;
  }

  use(kind: EvidenceKind, nonce: string, subject: string | undefined, at: number) {
    const token = this.inTime(nonce, at);
    if (token && (subject === undefined || token.subject === subject))
      this.evidence(kind, token.subject, token.app, at);
  }

  issue(nonce: string, subject: string, app: number, at: number): string {
    const installedAt = this.installs.get(`${subject} ${app}`);
    this.tokens.set(nonce, { subject, app, at });
    this.evidence('issue', subject, app, at);
    return installedAt === undefined || at - installedAt < LIFETIME ? 'download' : 'redownload';
  }

  prune(at: number) {
    for (const [key, installedAt] of this.installs)
      if (at - installedAt > RETENTION_DAYS * DAY) this.installs.delete(key);
  }

  forget(subject: string) {
    for (const key of this.installs.keys()) if (key.startsWith(`${subject} `)) this.installs.delete(key);
  }
}

const APPS = ['6500000000', '6500000001'];
const KEY = Buffer.alloc(32, 1);
const hash = subjectHashes(KEY);
const metrics = openMetrics();
const log = pino({ level: 'silent' });
const key = signingKey({ backend: 'test', sign: () => new Uint8Array(64) }, 'key');

/**
 * The parts that a service and a concurrent `webdist ledger` have open. A new service has only the key and the ledger in
 * common with the old one.
 */
async function open(url: string, evidence: EvidenceKind) {
  const nonces = openNonces(KEY, APPS);
  const records = await openRecords(
    // A request that cannot be answered in time is refused, and retried.
    {
      mode: 'sandbox',
      ledger: { url, evidence, whenDown: 'refuse', retentionDays: 0, secret: undefined },
      tokenLifetimeSeconds: LIFETIME,
    },
    {
      secretFingerprint: 'of this test',
      nonces,
      bundleIdOf: () => undefined,
      hash,
      metrics,
      log,
      now: () => NOW * 1000,
      clockOffsetSeconds: () => undefined,
    },
  );
  return { nonces, records, ledger: await openLedger(url) };
}

type Opened = Awaited<ReturnType<typeof open>>;

async function close({ records, ledger }: Opened) {
  await records.close();
  await ledger.close();
}

/** Applies one history to both; `crash` crashes what can crash and opens everything again. */
async function play(
  steps: readonly Step[],
  setting: EvidenceKind,
  openAgain: () => Promise<Opened>,
  crash: (opened: Opened) => Promise<Opened>,
) {
  const model = new Model(setting);
  const issued: string[] = [];
  let opened = await openAgain();
  let now = NOW;
  const agree = (what: string, found: unknown, expected: unknown) => {
    if (found !== expected) throw new Error(`${what}: the ledger says ${found}, the model ${expected}`);
  };
  const lostCookies = [0, 0, 0];
  const cookieOf = (device: number) => `${device}.${lostCookies[device]}`;
  const idOf = (device: number) => `id of ${device}`;
  const subjectNamed = (id: string): Subject => ({ kind: 'device', id });
  const confirm = (kind: EvidenceKind, evidence: Evidence) =>
    patiently(() => opened.records.confirm(kind, evidence, now));
  const issueOne = async (device: number, app: number, more: { dtype?: Dtype; evidence?: EvidenceKind } = {}) => {
    const deps = {
      keyFor: async () => key,
      decide: opened.records.decide,
      addIssued: opened.records.addIssued,
      nonce: opened.nonces.seal,
      now: () => now * 1000,
      lifetimeSeconds: LIFETIME,
    };
    const install = { app: { appleItemId: APPS[app] as string, bundleId: 'com.example' }, ...more };
    const name = cookieOf(device);
    const subject = hash(subjectNamed(name)).tag;
    const { nonce, dtype } = await patiently(() => issue({ ...install, subject }, deps));
    issued.push(nonce);
    const expected = model.issue(nonce, name, app, now);
    if (more.evidence) model.evidence(more.evidence, name, app, now);
    agree('dtype', dtype, more.dtype ?? expected);
  };
  const useToken = async (kind: EvidenceKind, nonce: string, name?: string) => {
    model.use(kind, nonce, name, now);
    await confirm(kind, { nonce, subject: name === undefined ? undefined : subjectNamed(name) });
  };
  /** Work that missed its deadline is stored later. It must be stored before a deletion, so close the ledger, which waits. */
  const settle = async () => {
    if (!isLate) return;
    await close(opened);
    opened = await openAgain();
    isLate = false;
  };
  const tokenOf = (token: number) => issued[token] ?? randomUUID();

  for (const step of steps) {
    if (step.kind === 'issue') await issueOne(step.device, step.app);
    else if (step.kind === 'update') await issueOne(step.device, step.app, { dtype: UPDATE_DTYPE });
    else if (step.kind === 'restore') await issueOne(step.device, step.app, { evidence: RESTORE_EVIDENCE });
    else if (step.kind === 'confirm') {
      const name = cookieOf(step.device);
      model.evidence('confirm', name, step.app, now);
      await confirm('confirm', { appleItemId: APPS[step.app] as string, subject: subjectNamed(name) });
    } else if (step.kind === 'tap') await useToken('tap', tokenOf(step.token), cookieOf(step.device));
    else if (step.kind === 'use') await useToken('confirm', tokenOf(step.token));
    else if (step.kind === 'licence') {
      const nonce = tokenOf(step.token);
      const token = model.inTime(nonce, now);
      if (token) model.licence(idOf(step.device), token.subject, token.app, now);
      await confirm('confirm', { nonce, device: subjectNamed(idOf(step.device)) });
    } else if (step.kind === 'licenceOfApp') {
      const name = step.hasSubject ? cookieOf(step.device) : undefined;
      model.licence(idOf(step.device), name, step.app, now);
      const subject = name === undefined ? undefined : subjectNamed(name);
      const appleItemId = APPS[step.app] as string;
      await confirm('confirm', { appleItemId, subject, device: subjectNamed(idOf(step.device)) });
    } else if (step.kind === 'loseCookie') lostCookies[step.device] = (lostCookies[step.device] ?? 0) + 1;
    else if (step.kind === 'pass') now += step.seconds;
    else if (step.kind === 'crash') opened = await crash(opened);
    else if (step.kind === 'forget') {
      await settle();
      for (const name of [cookieOf(step.device), idOf(step.device)]) {
        model.forget(name);
        await patiently(() => opened.ledger.forget(hash(subjectNamed(name)).tag));
      }
    } else {
      await settle();
      model.prune(now);
      await patiently(() => opened.ledger.prune(now - RETENTION_DAYS * DAY));
    }
  }
  agree('installs', (await patiently(() => opened.ledger.stats())).installs, model.installs.size);
  for (const name of [0, 1, 2].flatMap((device) => [cookieOf(device), idOf(device)]))
    for (const { appleItemId, installedAtSeconds } of await opened.ledger.export(hash(subjectNamed(name)).tag))
      agree('second', installedAtSeconds, model.installs.get(`${name} ${APPS.indexOf(appleItemId)}`));
  await close(opened);
}

/** Whether something has missed its deadline. */
let isLate = false;

/** A busy machine may miss the ledger's 200 ms. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++)
    try {
      return await work();
    } catch (error) {
      isLate = true;
      if (attempt === 50 || (error as { code?: string }).code !== 'ledger_unavailable') throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

const evidences = fc.constantFrom<EvidenceKind>('confirm', 'tap', 'issue');
const runs = { numRuns: RUNS, interruptAfterTimeLimit: LIMIT_MS, markInterruptAsFailure: true };

await t.test(`SQLite: ${RUNS * STEPS_PER_RUN} steps`, async (test) => {
  const folder = test.testdir();
  let files = 0;
  await fc.assert(
    fc.asyncProperty(history, evidences, async (steps, evidence) => {
      const url = `sqlite://${join(folder, `${++files}.sqlite`)}`;
      // A crash is simulated by opening a second ledger on the file and its log, beside the first.
      const abandoned: Opened[] = [];
      const openAgain = () => open(url, evidence);
      await play(steps, evidence, openAgain, async (opened) => {
        abandoned.push(opened);
        return openAgain();
      });
      for (const opened of abandoned) await close(opened);
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
  await (await openLedger(url)).close();
  let crashes = 0;
  await fc.assert(
    fc.asyncProperty(history, evidences, async (steps, evidence) => {
      await server.admin('TRUNCATE webdist_install', database);
      const openAgain = () => open(url, evidence);
      await play(steps, evidence, openAgain, async (opened) => {
        // Sometimes the server crashes, otherwise the connections of this service are cut.
        if (++crashes % 20 === 0) {
          server.stop('immediate');
          server.start();
        } else
          await server.admin(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'webdist'`,
          );
        await close(opened);
        return openAgain();
      });
    }),
    runs,
  );
  test.pass('no difference');
});
