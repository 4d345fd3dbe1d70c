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

t.setTimeout(120_000);

/** `npm run test:nightly` does more. */
const RUNS = Number(process.env['LEDGER_RUNS'] ?? 20);
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
const edges = fc.constantFrom(1, LIFETIME - 1, LIFETIME, DAY, DAY + 59, DAY + 60, RETENTION_DAYS * DAY);
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

/** The rule, written differently from the product: what was installed when, and which tokens were issued when. */
class Model {
  readonly installs = new Map<string, number>();
  readonly tokens = new Map<string, { readonly device: number; readonly app: number; readonly at: number }>();
  readonly #setting: EvidenceKind;

  constructor(setting: EvidenceKind) {
    this.#setting = setting;
  }

  evidence(kind: EvidenceKind, device: number, app: number, at: number) {
    const key = `${device} ${app}`;
    if (counts(kind, this.#setting) && !this.installs.has(key)) this.installs.set(key, at);
  }

  use(kind: EvidenceKind, nonce: string, device: number | undefined, at: number) {
    const token = this.tokens.get(nonce);
    if (!token || (device !== undefined && token.device !== device)) return;
    const minutes = Math.floor(at / 60) - Math.floor(token.at / 60);
    if (minutes <= 24 * 60) this.evidence(kind, token.device, token.app, at);
  }

  issue(nonce: string, device: number, app: number, at: number): string {
    const installedAt = this.installs.get(`${device} ${app}`);
    this.tokens.set(nonce, { device, app, at });
    this.evidence('issue', device, app, at);
    return installedAt === undefined || at - installedAt < LIFETIME ? 'download' : 'redownload';
  }

  prune(at: number) {
    for (const [key, installedAt] of this.installs)
      if (at - installedAt > RETENTION_DAYS * DAY) this.installs.delete(key);
  }

  forget(device: number) {
    for (const key of this.installs.keys()) if (key.startsWith(`${device} `)) this.installs.delete(key);
  }
}

const APPS = ['6500000000', '6500000001'];
const KEY = Buffer.alloc(32, 1);
const hash = subjectHashes(KEY);
const metrics = openMetrics();
const log = pino({ level: 'silent' });
const key = signingKey({ backend: 'test', sign: () => new Uint8Array(64) }, 'key');

/** What a service and a concurrent `webdist ledger` have open. A new service knows only the key and the ledger. */
async function open(url: string, evidence: EvidenceKind) {
  const nonces = openNonces(KEY, APPS);
  const records = await openRecords(
    // A request that cannot be answered in time is refused, and retried.
    {
      apps: [],
      ledger: { url, evidence, whenDown: 'refuse', retentionDays: 0, secret: undefined },
      tokenLifetimeSeconds: LIFETIME,
    },
    {
      secretFingerprint: 'of this test',
      nonces,
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
  first: Opened,
  crash: (opened: Opened) => Promise<Opened>,
) {
  const model = new Model(setting);
  const issued: string[] = [];
  let opened = first;
  let now = NOW;
  const agree = (what: string, found: unknown, expected: unknown) => {
    if (found !== expected) throw new Error(`${what}: the ledger says ${found}, the model ${expected}`);
  };
  const subjectNamed = (number: number): Subject => ({ kind: 'device', id: `${number}` });
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
    const subject = hash(subjectNamed(device)).tag;
    const { nonce, dtype } = await patiently(() => issue({ ...install, subject }, deps));
    issued.push(nonce);
    const expected = model.issue(nonce, device, app, now);
    if (more.evidence) model.evidence(more.evidence, device, app, now);
    agree('dtype', dtype, more.dtype ?? expected);
  };
  const useToken = async (kind: EvidenceKind, nonce: string, device?: number) => {
    model.use(kind, nonce, device, now);
    await confirm(kind, { nonce, subject: device === undefined ? undefined : subjectNamed(device) });
  };

  for (const step of steps) {
    if (step.kind === 'issue') await issueOne(step.device, step.app);
    else if (step.kind === 'update') await issueOne(step.device, step.app, { dtype: UPDATE_DTYPE });
    else if (step.kind === 'restore') await issueOne(step.device, step.app, { evidence: RESTORE_EVIDENCE });
    else if (step.kind === 'confirm') {
      model.evidence('confirm', step.device, step.app, now);
      await confirm('confirm', { appleItemId: APPS[step.app] as string, subject: subjectNamed(step.device) });
    } else if (step.kind === 'tap') await useToken('tap', issued[step.token] ?? randomUUID(), step.device);
    else if (step.kind === 'use') await useToken('confirm', issued[step.token] ?? randomUUID());
    else if (step.kind === 'pass') now += step.seconds;
    else if (step.kind === 'crash') opened = await crash(opened);
    else if (step.kind === 'forget') {
      model.forget(step.device);
      await patiently(() => opened.ledger.forget(hash(subjectNamed(step.device)).tag));
    } else {
      model.prune(now);
      await patiently(() => opened.ledger.prune(now - RETENTION_DAYS * DAY));
    }
  }
  agree('installs', (await patiently(() => opened.ledger.stats())).installs, model.installs.size);
  for (const device of [0, 1, 2])
    for (const { appleItemId, installedAtSeconds } of await opened.ledger.export(hash(subjectNamed(device)).tag))
      agree('second', installedAtSeconds, model.installs.get(`${device} ${APPS.indexOf(appleItemId)}`));
  await close(opened);
}

/** A busy machine may miss the ledger's 200 ms. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++)
    try {
      return await work();
    } catch (error) {
      if (attempt === 50 || (error as { code?: string }).code !== 'ledger_unavailable') throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
}

const evidences = fc.constantFrom<EvidenceKind>('confirm', 'tap', 'issue');
const runs = { numRuns: RUNS, interruptAfterTimeLimit: 100_000, markInterruptAsFailure: true };

await t.test(`SQLite: ${RUNS * STEPS_PER_RUN} steps`, async (test) => {
  const folder = test.testdir();
  let files = 0;
  await fc.assert(
    fc.asyncProperty(history, evidences, async (steps, evidence) => {
      const url = `sqlite://${join(folder, `${++files}.sqlite`)}`;
      // After a crash, the file and its log are as a second ledger beside the first finds them.
      const abandoned: Opened[] = [];
      await play(steps, evidence, await open(url, evidence), async (opened) => {
        abandoned.push(opened);
        return open(url, evidence);
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
      await play(steps, evidence, await open(url, evidence), async (opened) => {
        // Sometimes the server crashes, otherwise the connections of this service are cut.
        if (++crashes % 20 === 0) {
          server.stop('immediate');
          server.start();
        } else
          await server.admin(
            `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'webdist'`,
          );
        await close(opened);
        return open(url, evidence);
      });
    }),
    runs,
  );
  test.pass('no difference');
});
