/** What every ledger does, whatever remembers. Run by one test file a backend. */

import { createHash } from 'node:crypto';
import type t from 'tap';
import { newNonce } from '../../src/install-token/nonce.ts';
import type { Ledger, LedgerOptions, SubjectEntry } from '../../src/ledger/contract.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { TOKEN_MEMORY_SECONDS } from '../../src/ledger/rule.ts';

export { newNonce };

type Test = typeof t;

export const LIFETIME = 1200;
export const NOW = 1_795_000_000;
export const APP = '6500000001';
export const options: LedgerOptions = { lifetimeSeconds: LIFETIME, evidence: 'tap', retentionDays: 0 };

/** A subject's hash, as the service makes them: 32 hex digits. */
export const subjectOf = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 32);

export const entryOf = (subject: string, issuedAtSeconds = NOW, more: Partial<SubjectEntry> = {}): SubjectEntry => ({
  nonce: newNonce(),
  app: { appleItemId: APP },
  subject,
  issuedAtSeconds,
  ...more,
});

/** The `dtype` of one token. */
export async function dtypeOf(ledger: Ledger, entry: SubjectEntry) {
  const [dtype] = await ledger.record([entry]);
  return dtype;
}

/** `freshUrl` gives the URL of an empty ledger; `keeps` is false for one that ends when it is closed. */
export async function ledgerContract(test: Test, freshUrl: () => Promise<string> | string, keeps = true) {
  const withLedger = async (
    name: string,
    work: (ledger: Ledger, test: Test, url: string) => Promise<void>,
    more: Partial<LedgerOptions> = {},
  ) =>
    test.test(name, async (inner) => {
      const url = await freshUrl();
      const ledger = await openLedger(url, { ...options, ...more });
      inner.teardown(() => ledger.close());
      await work(ledger, inner as Test, url);
    });

  await withLedger(
    'the first token is a download, and looking without tapping never turns it',
    async (ledger, test) => {
      const subject = subjectOf('looks');
      for (const later of [0, 1, LIFETIME, 10 * LIFETIME, 1000 * LIFETIME])
        test.equal(await dtypeOf(ledger, entryOf(subject, NOW + later)), 'download');
    },
  );

  await withLedger('after evidence it stays a download for one lifetime, then turns', async (ledger, test) => {
    const entry = entryOf(subjectOf('taps'));
    await dtypeOf(ledger, entry);
    await ledger.confirm([{ nonce: entry.nonce, subject: entry.subject }], NOW + 10);
    const at = (seconds: number) => dtypeOf(ledger, entryOf(entry.subject, NOW + 10 + seconds));
    test.equal(await at(0), 'download');
    test.equal(await at(LIFETIME - 1), 'download');
    test.equal(await at(LIFETIME), 'redownload');
    test.equal(await at(1_000_000_000), 'redownload');
  });

  await withLedger('evidence by app and subject counts as well', async (ledger, test) => {
    const subject = subjectOf('confirmed');
    await ledger.confirm([{ appleItemId: APP, subject }], NOW);
    test.equal(await dtypeOf(ledger, entryOf(subject, NOW + LIFETIME)), 'redownload');
  });

  await withLedger('an entry that is evidence counts from its own second, whatever its dtype', async (ledger, test) => {
    const restored = entryOf(subjectOf('restored'), NOW, { evidence: 'confirm' });
    const said = entryOf(subjectOf('said'), NOW, { evidence: 'confirm', dtype: 'redownload' });
    const [seen, again] = [entryOf(subjectOf('seen')), entryOf(restored.subject, NOW + 1, { evidence: 'confirm' })];
    test.strictSame(await ledger.record([restored, said, seen, again]), [
      'download',
      'redownload',
      'download',
      'download',
    ]);
    const at = (subject: string) => dtypeOf(ledger, entryOf(subject, NOW + LIFETIME));
    test.equal(await at(restored.subject), 'redownload');
    test.equal(await at(said.subject), 'redownload');
    test.equal(await at(seen.subject), 'download');
    test.strictSame((await ledger.export(restored.subject)).installs, [{ appleItemId: APP, installedAtSeconds: NOW }]);
  });

  await withLedger('the first evidence wins: confirming twice is once', async (ledger, test) => {
    const entry = entryOf(subjectOf('twice'));
    await dtypeOf(ledger, entry);
    await ledger.confirm([{ nonce: entry.nonce }], NOW);
    await ledger.confirm([{ nonce: entry.nonce }], NOW + LIFETIME - 1);
    await ledger.confirm([{ appleItemId: APP, subject: entry.subject }], NOW + LIFETIME - 1);
    test.equal(await dtypeOf(ledger, entryOf(entry.subject, NOW + LIFETIME)), 'redownload');
    const { installs } = await ledger.export(entry.subject);
    test.strictSame(installs, [{ appleItemId: APP, installedAtSeconds: NOW }]);
  });

  await withLedger("another subject's nonce, or an unknown one, changes nothing", async (ledger, test) => {
    const [mine, other] = [entryOf(subjectOf('mine')), subjectOf('other')];
    await dtypeOf(ledger, mine);
    await ledger.confirm([{ nonce: mine.nonce, subject: other }], NOW);
    await ledger.confirm([{ nonce: newNonce(), subject: other }], NOW);
    await ledger.confirm([{ nonce: newNonce() }], NOW);
    for (const subject of [mine.subject, other])
      test.equal(await dtypeOf(ledger, entryOf(subject, NOW + LIFETIME)), 'download');
    test.equal((await ledger.stats()).installs, 0);
  });

  await withLedger('apps and subjects are independent of each other', async (ledger, test) => {
    const [one, two] = [subjectOf('one'), subjectOf('two')];
    const app = { appleItemId: '6500000002' };
    await ledger.confirm([{ appleItemId: APP, subject: one }], NOW);
    const then = NOW + LIFETIME;
    const entries = [entryOf(one, then), entryOf(two, then), entryOf(one, then, { app }), entryOf(two, then, { app })];
    test.strictSame(await ledger.record(entries), ['redownload', 'download', 'download', 'download']);
  });

  await withLedger(
    'what an authenticated caller says is given back, and remembered for evidence',
    async (ledger, test) => {
      const entry = entryOf(subjectOf('said'), NOW, { dtype: 'redownload' });
      test.equal(await dtypeOf(ledger, entry), 'redownload');
      await ledger.confirm([{ nonce: entry.nonce }], NOW);
      test.equal(await dtypeOf(ledger, entryOf(entry.subject, NOW + LIFETIME, { dtype: 'download' })), 'download');
      test.equal(await dtypeOf(ledger, entryOf(entry.subject, NOW + LIFETIME)), 'redownload');
    },
  );

  await withLedger('200 requests at once of one subject get the same answer', async (ledger, test) => {
    const subject = subjectOf('busy');
    const ask = async (at: number) => {
      const dtypes = await Promise.all(Array.from({ length: 200 }, () => dtypeOf(ledger, entryOf(subject, at))));
      test.equal(new Set(dtypes).size, 1);
      return dtypes[0];
    };
    test.equal(await ask(NOW), 'download');
    await ledger.confirm([{ appleItemId: APP, subject }], NOW);
    test.equal(await ask(NOW + LIFETIME), 'redownload');
    test.equal((await ledger.stats()).tokens, 400);
  });

  await withLedger(
    'with the evidence issue, also 200 first requests at once agree',
    async (ledger, test) => {
      const subject = subjectOf('issue');
      const entries = () => Array.from({ length: 200 }, () => entryOf(subject));
      const together = await ledger.record(entries());
      const apart = await Promise.all(entries().map((entry) => dtypeOf(ledger, entry)));
      test.strictSame([...new Set([...together, ...apart])], ['download']);
      test.equal(await dtypeOf(ledger, entryOf(subject, NOW + LIFETIME)), 'redownload');
      test.equal((await ledger.stats()).installs, 1);
    },
    { evidence: 'issue' },
  );

  await withLedger(
    'export gives everything of a subject, forget deletes it, and nothing else',
    async (ledger, test) => {
      const [gone, kept] = [subjectOf('gone'), subjectOf('kept')];
      const entry = entryOf(gone);
      await ledger.record([entry, entryOf(kept)]);
      for (const subject of [gone, kept]) await ledger.confirm([{ appleItemId: APP, subject }], NOW + 5);
      test.strictSame(await ledger.export(gone), {
        installs: [{ appleItemId: APP, installedAtSeconds: NOW + 5 }],
        tokens: [{ nonce: entry.nonce, appleItemId: APP, issuedAtSeconds: NOW }],
      });
      test.strictSame(await ledger.stats(), { installs: 2, tokens: 2 });
      test.equal(await ledger.forget(gone), 1);
      test.equal(await ledger.forget(gone), 0);
      test.strictSame(await ledger.export(gone), { installs: [], tokens: [] });
      test.strictSame(await ledger.stats(), { installs: 1, tokens: 1 });
      test.equal(await dtypeOf(ledger, entryOf(gone, NOW + LIFETIME + 5)), 'download');
      test.equal(await dtypeOf(ledger, entryOf(kept, NOW + LIFETIME + 5)), 'redownload');
    },
  );

  await withLedger(
    'prune deletes old tokens and, past the retention, installs; more than it deletes at once',
    async (ledger, test) => {
      const old = Array.from({ length: 2100 }, (_, index) => entryOf(subjectOf(`old ${index}`)));
      for (let start = 0; start < old.length; start += 300) await ledger.record(old.slice(start, start + 300));
      await ledger.confirm(
        old.map(({ subject }) => ({ appleItemId: APP, subject })),
        NOW,
      );
      const young = entryOf(subjectOf('young'), NOW + 1);
      await ledger.record([young]);
      await ledger.confirm([{ appleItemId: APP, subject: young.subject }], NOW + 1);
      await ledger.prune(NOW + TOKEN_MEMORY_SECONDS);
      test.strictSame(await ledger.stats(), { installs: 2101, tokens: 2101 });
      await ledger.prune(NOW + TOKEN_MEMORY_SECONDS + 1);
      test.strictSame(await ledger.stats(), { installs: 2101, tokens: 1 });
      await ledger.prune(NOW + 30 * 86_400 + 1);
      test.strictSame(await ledger.stats(), { installs: 1, tokens: 0 });
    },
    { retentionDays: 30 },
  );

  await withLedger('without a retention installs are kept for ever', async (ledger, test) => {
    await ledger.confirm([{ appleItemId: APP, subject: subjectOf('kept') }], NOW);
    await ledger.prune(NOW + 100 * 365 * 86_400);
    test.equal((await ledger.stats()).installs, 1);
  });

  if (keeps)
    await withLedger('what was recorded survives reopening', async (ledger, test, url) => {
      const entry = entryOf(subjectOf('reopened'));
      await ledger.record([entry]);
      const second = await openLedger(url, options);
      await second.confirm([{ nonce: entry.nonce }], NOW);
      await second.close();
      const third = await openLedger(url, options);
      test.teardown(() => third.close());
      test.equal(await dtypeOf(third, entryOf(entry.subject, NOW + LIFETIME)), 'redownload');
    });

  await test.test('a ledger that is closed says that it cannot answer', async (inner) => {
    const ledger = await openLedger(await freshUrl(), options);
    await ledger.ping();
    await ledger.close();
    await inner.rejects(ledger.ping(), { code: 'ledger_unavailable' });
    await inner.rejects(ledger.record([entryOf(subjectOf('late'))]), { code: 'ledger_unavailable' });
  });
}
