/** What counts as an install, and the effect of a nonce that is reported as evidence (docs/ledger.md). */

import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import pino from 'pino';
import t, { type Test } from 'tap';
import type { Environment } from '../../src/environment.ts';
import { type Install, issue } from '../../src/install-token/issue.ts';
import { openNonces } from '../../src/install-token/nonce.ts';
import { signingKey } from '../../src/jws.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import type { EvidenceKind } from '../../src/ledger/rule.ts';
import { openMetrics } from '../../src/metrics.ts';
import { openRecords } from '../../src/service/records.ts';
import { subjectHashes } from '../../src/service/subject.ts';
import { askToken, post } from '../harness/http.ts';
import { setFault, startSandbox } from '../harness/sandbox.ts';
import { settingsIn, startReady, startService } from '../harness/service.ts';
import { LIFETIME, NOW } from '../ledger/contract.ts';

const APP = { appleItemId: '6500000001', bundleId: 'com.example.trailmap' };
const OTHER = { appleItemId: '6500000002', bundleId: 'com.example.other' };
const KEY = Buffer.alloc(32, 7);
const hash = subjectHashes(KEY);
const metrics = openMetrics();

/** Records with their own ledger, and `issue` with a signer that can be made to fail. */
async function openRecordsIn(test: Test, evidence: EvidenceKind = 'tap') {
  const url = `sqlite://${join(test.testdir(), 'ledger.sqlite')}`;
  const nonces = openNonces(KEY, [APP.appleItemId, OTHER.appleItemId]);
  const records = await openRecords(
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
      log: pino({ level: 'silent' }),
      now: () => NOW * 1000,
      clockOffsetSeconds: () => undefined,
    },
  );
  const ledger = await openLedger(url);
  test.teardown(async () => {
    await records.close();
    await ledger.close();
  });
  const subject = (id: string) => ({ kind: 'device', id }) as const;
  const signer = { backend: 'test', isBroken: false, sign: () => new Uint8Array(signer.isBroken ? 0 : 64) };
  const key = signingKey(signer, 'key');
  const ask = (install: Partial<Install> & { id?: string }, atSeconds = NOW) => {
    const { id, app = APP, ...more } = install;
    const deps = {
      keyFor: async () => key,
      decide: records.decide,
      addIssued: records.addIssued,
      nonce: nonces.seal,
      now: () => atSeconds * 1000,
      lifetimeSeconds: LIFETIME,
    };
    return issue({ app, subject: id === undefined ? undefined : hash(subject(id)).tag, ...more }, deps);
  };
  const dtype = async (install: Parameters<typeof ask>[0], atSeconds?: number) => (await ask(install, atSeconds)).dtype;
  return { records, ledger, signer, subject, ask, dtype };
}

const LATER = NOW + LIFETIME;

t.test('evidence by app and subject counts', async (test) => {
  const { records, subject, dtype } = await openRecordsIn(test);
  await records.confirm('confirm', { appleItemId: APP.appleItemId, subject: subject('a') }, NOW);
  test.equal(await dtype({ id: 'a' }, LATER), 'redownload');
  test.equal(await dtype({ id: 'a', app: OTHER }, LATER), 'download', 'for that app only');
});

t.test('evidence by nonce counts, also for a token whose dtype was sent by the caller', async (test) => {
  const { records, ask, dtype } = await openRecordsIn(test);
  const { nonce, dtype: sent } = await ask({ id: 'a', dtype: 'redownload' });
  test.equal(sent, 'redownload', 'what an authenticated caller sends is used as it is');
  test.equal(await dtype({ id: 'a' }, LATER), 'download');
  await records.confirm('confirm', { nonce }, NOW);
  test.equal(await dtype({ id: 'a', dtype: 'download' }, LATER), 'download');
  test.equal(await dtype({ id: 'a' }, LATER), 'redownload');
});

for (const [what, hours] of [
  ['an hour', 1],
  ['twelve hours', 12],
  ['almost a day', 23.9],
] as const)
  t.test(
    `evidence counts at a replica whose clock was set back by ${what}, from the minute of its token`,
    async (test) => {
      const { records, ask, dtype } = await openRecordsIn(test);
      const { nonce, issuedAtSeconds } = await ask({ id: 'a' });
      await records.confirm('confirm', { nonce }, NOW - hours * 3600);
      test.equal(
        await dtype({ id: 'a' }, issuedAtSeconds),
        'download',
        'the restore that follows agrees with the link',
      );
      test.equal(await dtype({ id: 'a' }, LATER), 'redownload');
    },
  );

t.test("another subject's nonce, or an unknown one, changes nothing", async (test) => {
  const { records, ledger, subject, ask, dtype } = await openRecordsIn(test);
  const { nonce } = await ask({ id: 'mine' });
  await records.confirm('tap', { nonce, subject: subject('other') }, NOW);
  await records.confirm('tap', { nonce: randomUUID(), subject: subject('other') }, NOW);
  await records.confirm('confirm', { nonce: randomUUID() }, NOW);
  for (const id of ['mine', 'other']) test.equal(await dtype({ id }, LATER), 'download');
  test.strictSame(await ledger.stats(), { installs: 0 });
});

t.test('a token without a subject: evidence changes nothing', async (test) => {
  const { records, ledger, ask } = await openRecordsIn(test, 'issue');
  const { nonce, dtype } = await ask({});
  test.equal(dtype, 'download');
  await records.confirm('confirm', { nonce }, NOW);
  test.strictSame(await ledger.stats(), { installs: 0 });
});

t.test('an entry that is evidence counts from its own second, whatever its dtype', async (test) => {
  const { ledger, subject, dtype } = await openRecordsIn(test);
  const dtypes = await Promise.all([
    dtype({ id: 'restored', evidence: 'confirm' }),
    dtype({ id: 'sent', evidence: 'confirm', dtype: 'redownload' }),
    dtype({ id: 'seen' }),
    dtype({ id: 'restored', evidence: 'confirm' }, NOW + 1),
  ]);
  test.strictSame(dtypes, ['download', 'redownload', 'download', 'download']);
  test.equal(await dtype({ id: 'restored' }, LATER), 'redownload');
  test.equal(await dtype({ id: 'sent' }, LATER), 'redownload');
  test.equal(await dtype({ id: 'seen' }, LATER), 'download');
  test.strictSame(await ledger.export(hash(subject('restored')).tag), [
    { appleItemId: APP.appleItemId, installedAtSeconds: NOW },
  ]);
});

t.test('with the evidence issue, 200 first requests at once agree, and count once', async (test) => {
  const { ledger, dtype } = await openRecordsIn(test, 'issue');
  const dtypes = await Promise.all(Array.from({ length: 200 }, () => dtype({ id: 'issue' })));
  test.strictSame([...new Set(dtypes)], ['download']);
  test.equal(await dtype({ id: 'issue' }, LATER), 'redownload');
  test.strictSame(await ledger.stats(), { installs: 1 });
});

for (const evidence of ['issue', 'confirm'] as const)
  t.test(`a token that could not be signed is not evidence (${evidence})`, async (test) => {
    const { ledger, signer, dtype } = await openRecordsIn(test, 'issue');
    signer.isBroken = true;
    const refused = await Promise.allSettled(
      Array.from({ length: 30 }, (_, index) => dtype({ id: `device ${index}`, evidence })),
    );
    test.equal(refused.filter(({ status }) => status === 'rejected').length, 30);
    test.strictSame(await ledger.stats(), { installs: 0 });
    signer.isBroken = false;
    test.equal(await dtype({ id: 'device 1', evidence }, LATER), 'download');
    test.strictSame(await ledger.stats(), { installs: 1 });
  });

t.test('a subject made up for the request is not looked up; with the evidence issue it is stored', async (test) => {
  for (const [evidence, installs] of [
    ['tap', 0],
    ['issue', 1],
  ] as const)
    await test.test(evidence, async (test) => {
      const { records, ledger, dtype } = await openRecordsIn(test, evidence);
      const entry = { app: APP, subject: 5, isNewSubject: true, issuedAtSeconds: NOW };
      test.strictSame(await records.decide(entry), { dtype: 'download', isNewInstall: installs === 1 });
      test.equal(await dtype({ id: 'new', isNewSubject: true }), 'download');
      test.strictSame(await ledger.stats(), { installs });
    });
});

/** Services with one PEM and one secret, as replicas or restarts of each other; the test moves their clock. */
async function openReplicas(test: Test) {
  const folder = test.testdir();
  let nowMs = Date.UTC(2026, 10, 21);
  const env = settingsIn(folder, {
    WEBDIST_LEDGER: `sqlite://${join(folder, 'ledger.sqlite')}`,
    WEBDIST_LEDGER_SECRET: 'one secret for all the replicas here',
  });
  const start = (more: Environment = {}) => startService(test, undefined, { ...env, ...more }, { now: () => nowMs });
  const ledger = await openLedger(env['WEBDIST_LEDGER'] as string);
  test.teardown(() => ledger.close());
  const one = await start();
  const issued = async () => {
    const { body, cookie = '' } = await post(`${one.url}/install-token`, {});
    return { nonce: String(body['nonce']), cookie };
  };
  /** Sends evidence to a service; returns the number of installs that it added. */
  const added = async ({ url }: { url: string }, nonce: string, cookie: string) => {
    const before = (await ledger.stats()).installs;
    const { status } = await post(`${url}/installs`, { nonce }, { cookie });
    test.equal(status, 204);
    return (await ledger.stats()).installs - before;
  };
  return { start, one, issued, added, pass: (ms: number) => (nowMs += ms), to: (ms: number) => (nowMs = ms) };
}

type Claims = { readonly nonce: string; readonly expiresAt: string; readonly dtype: string };

const DAY_MS = 86_400_000;
const MINUTE_MS = 60_000;

t.test('what becomes of a nonce that comes back', async (test) => {
  const { start, one, issued, added, pass, to } = await openReplicas(test);
  const another = await start();
  const first = await issued();
  test.equal(await added(another, first.nonce, first.cookie), 1, 'at another replica: counts');
  test.equal(await added(one, first.nonce, first.cookie), 0, 'again: counts once');

  const second = await issued();
  await another.stop();
  const restarted = await start();
  test.equal(await added(restarted, second.nonce.toLowerCase(), second.cookie), 1, 'after a restart: counts');

  const late = await issued();
  pass(DAY_MS + MINUTE_MS);
  test.equal(await added(one, late.nonce, late.cookie), 0, 'after 24 hours and a minute: does not count');
  pass(-MINUTE_MS);
  test.equal(await added(one, late.nonce, late.cookie), 1, 'after 24 hours: counts');

  to(Date.UTC(2026, 10, 25));
  const mine = await issued();
  const otherSecret = await start({
    WEBDIST_LEDGER: 'memory:',
    WEBDIST_LEDGER_SECRET: 'another secret, that no replica has',
  });
  const { cookie: theirs = '' } = await post(`${otherSecret.url}/install-token`, {});
  test.equal(await added(otherSecret, mine.nonce, theirs), 0, 'with another secret: does not count');
  test.match(await (await fetch(`${otherSecret.url}/metrics`)).text(), /^(?!.*webdist_install_evidence_total\{)/s);

  const otherApp = await start({ WEBDIST_APPLE_ITEM_ID: '6500000002' });
  test.equal(await added(otherApp, mine.nonce, mine.cookie), 0, 'where the app is not served: does not count');

  const { cookie: stranger } = await issued();
  test.equal(await added(one, mine.nonce, stranger), 0, 'with the cookie of another device: does not count');
  test.equal(await added(one, mine.nonce, ''), 0, 'with no cookie: does not count');

  const bytes = Buffer.from(mine.nonce.replaceAll('-', ''), 'hex');
  let counted = 0;
  for (let bit = 0; bit < 128; bit++) {
    // The version and the variant: without them it is not a version-4 UUID, which the API refuses.
    if ([48, 49, 50, 51, 64, 65].includes(bit)) continue;
    const flipped = Buffer.from(bytes);
    flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (0x80 >> (bit & 7)), bit >> 3);
    const text = flipped.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
    counted += await added(one, text, mine.cookie);
  }
  test.equal(counted, 0, 'with any one of its 122 bits flipped: does not count');
  test.equal(await added(one, mine.nonce, mine.cookie), 1, 'as it is: counts');
});

t.test('evidence is dated by the clock that dates tokens, also when this machine is ahead of Apple', async (test) => {
  const sandbox = await startSandbox(test);
  await setFault(sandbox, { clockSkewSeconds: -50 });
  let nowMs = Date.now();
  const { url, service } = await startReady(test, sandbox, {}, { now: () => nowMs });
  await service.reconcile();
  const ask = async (cookie?: string) => {
    const response = await askToken(url, {}, cookie ? { cookie } : {});
    return { cookie: response.headers.getSetCookie()[0]?.split(';')[0] ?? '', ...((await response.json()) as Claims) };
  };
  const { nonce, expiresAt, cookie } = await ask();
  test.ok(Date.parse(expiresAt) < nowMs + LIFETIME * 1000 - 45_000, 'tokens are dated back');
  const origin = 'https://example.com';
  test.equal((await post(`${url}/installs`, { nonce }, { cookie, origin })).status, 204);
  test.equal((await ask(cookie)).dtype, 'download');
  nowMs += LIFETIME * 1000;
  test.equal((await ask(cookie)).dtype, 'redownload');
});
