/** The contract of every ledger, whatever its backend. Run by one test file for each backend. */

import { createHash } from 'node:crypto';
import type t from 'tap';
import { WebdistError } from '../../src/errors.ts';
import type { InstallRecord, Ledger, LedgerEntry, LedgerReader } from '../../src/ledger/contract.ts';
import { openLedger } from '../../src/ledger/ledger.ts';
import { dtypeAt, evidenceTimes } from '../../src/ledger/rule.ts';

type Test = typeof t;

export const LIFETIME = 1200;
export const NOW = 1_795_000_000;
export const APP = '6500000001';

/** A subject's tag, in the form of the service: an integer below 2^45. */
export const subjectOf = (name: string): number =>
  createHash('sha256').update(name).digest().readUIntBE(0, 6) % 2 ** 45;

export const entryOf = (subject: number, appleItemId = APP): LedgerEntry => ({ subject, appleItemId });

export const installOf = (subject: number, installedAtSeconds = NOW, appleItemId = APP): InstallRecord => ({
  subject,
  appleItemId,
  ...evidenceTimes(installedAtSeconds, LIFETIME),
});

/** Returns since when each entry has its app. */
export const installedAt = async (ledger: Pick<LedgerReader, 'lookUp'>, entries: readonly LedgerEntry[]) =>
  (await ledger.lookUp(entries)).map((install) => install?.installedAtSeconds);

/** The `dtype` of one token. */
export async function dtypeOf(ledger: Ledger, entry: LedgerEntry, atSeconds: number) {
  const [install] = await ledger.lookUp([entry]);
  return dtypeAt(atSeconds, install);
}

/** `freshUrl` returns the URL of an empty ledger; `keeps` is false if closing the ledger deletes its content. */
export async function ledgerContract(test: Test, freshUrl: () => Promise<string> | string, keeps = true) {
  const withLedger = async (name: string, work: (ledger: Ledger, test: Test, url: string) => Promise<void>) =>
    test.test(name, async (inner) => {
      const url = await freshUrl();
      const ledger = await openLedger(url);
      inner.teardown(() => ledger.close());
      await work(ledger, inner as Test, url);
    });

  await withLedger(
    'the first token is a download, and page views without a tap never change that',
    async (ledger, test) => {
      const entry = entryOf(subjectOf('views'));
      for (const later of [0, 1, LIFETIME, 10 * LIFETIME, 1000 * LIFETIME])
        test.equal(await dtypeOf(ledger, entry, NOW + later), 'download');
      test.strictSame(await ledger.stats(), { installs: 0 }, 'and leaves no row');
    },
  );

  await withLedger('readAll returns every install once, as they were when it began', async (ledger, test) => {
    const installs = Array.from({ length: 2500 }, (_, index) => installOf(subjectOf(`all ${index}`), NOW - index));
    for (let index = 0; index < installs.length; index += 250)
      await ledger.addInstalls(installs.slice(index, index + 250));
    const read: InstallRecord[] = [];
    await ledger.readAll(async (batch) => {
      if (read.length === 0) await ledger.addInstalls([installOf(subjectOf('added meanwhile'))]);
      test.ok(batch.length <= 1000);
      read.push(...batch);
    });
    const bySubject = (records: readonly InstallRecord[]) => records.toSorted((a, b) => a.subject - b.subject);
    test.strictSame(bySubject(read), bySubject(installs));
    test.equal((await ledger.stats()).installs, 2501);
    await test.rejects(
      ledger.readAll(async () => {
        throw new WebdistError('state_invalid', 'The reader fails.');
      }),
      { code: 'state_invalid' },
    );
    test.equal((await ledger.stats()).installs, 2501, 'and answers after a failed read');
  });

  await withLedger(
    'after evidence it stays a download for one lifetime, then it is a redownload',
    async (ledger, test) => {
      const subject = subjectOf('taps');
      await ledger.addInstalls([installOf(subject, NOW + 10)]);
      const at = (seconds: number) => dtypeOf(ledger, entryOf(subject), NOW + 10 + seconds);
      test.equal(await at(0), 'download');
      test.equal(await at(LIFETIME - 1), 'download');
      test.equal(await at(LIFETIME), 'redownload');
      test.equal(await at(1_000_000_000), 'redownload');
    },
  );

  await withLedger('the first evidence wins: confirming twice is once', async (ledger, test) => {
    const subject = subjectOf('twice');
    await ledger.addInstalls([installOf(subject), installOf(subject)]);
    await ledger.addInstalls([installOf(subject, NOW + LIFETIME - 1)]);
    test.equal(await dtypeOf(ledger, entryOf(subject), NOW + LIFETIME), 'redownload');
    test.strictSame(await ledger.export(subject), [{ appleItemId: APP, installedAtSeconds: NOW }]);
    test.strictSame(await ledger.stats(), { installs: 1 });
  });

  await withLedger('an older date replaces a newer one, and never the reverse', async (ledger, test) => {
    const cases: [name: string, dates: number[], expected: number][] = [
      ['older later', [NOW, NOW - 5], NOW - 5],
      ['older first', [NOW - 5, NOW], NOW - 5],
      ['equal', [NOW, NOW], NOW],
      ['older, then between', [NOW, NOW - 9, NOW - 5], NOW - 9],
    ];
    for (const [name, dates] of cases)
      for (const date of dates) await ledger.addInstalls([installOf(subjectOf(name), date)]);
    const together = subjectOf('together');
    await ledger.addInstalls([NOW, NOW - 7, NOW - 3].map((date) => installOf(together, date)));
    const entries = [...cases.map(([name]) => entryOf(subjectOf(name))), entryOf(together)];
    test.strictSame(await installedAt(ledger, entries), [...cases.map(([, , expected]) => expected), NOW - 7]);
    test.strictSame(await ledger.stats(), { installs: 5 }, 'one row for each subject');
  });

  await withLedger('many entries in one read: in order, each with its own answer', async (ledger, test) => {
    const subjects = Array.from({ length: 300 }, (_, index) => subjectOf(`many ${index}`));
    const installed = subjects.filter((_, index) => index % 3 === 0);
    await ledger.addInstalls(installed.map((subject, index) => installOf(subject, NOW + index)));
    const expected = subjects.map((_, index) => (index % 3 === 0 ? NOW + index / 3 : undefined));
    test.strictSame(
      await installedAt(
        ledger,
        subjects.map((subject) => entryOf(subject)),
      ),
      expected,
    );
    const twice = [entryOf(subjects[3] as number), entryOf(subjects[3] as number)];
    test.strictSame(await installedAt(ledger, twice), [NOW + 1, NOW + 1], 'the same entry twice');
    test.strictSame(await installedAt(ledger, []), []);
    await ledger.addInstalls([]);
  });

  await withLedger('apps and subjects are independent of each other', async (ledger, test) => {
    const [one, two] = [subjectOf('one'), subjectOf('two')];
    await ledger.addInstalls([installOf(one)]);
    const entries = [entryOf(one), entryOf(two), entryOf(one, '6500000002'), entryOf(two, '6500000002')];
    test.strictSame(await installedAt(ledger, entries), [NOW, undefined, undefined, undefined]);
  });

  await withLedger('the largest tag, and the largest AppleItemID, are stored as they are', async (ledger, test) => {
    const install = installOf(2 ** 45 - 1, NOW, '18446744073709551615');
    await ledger.addInstalls([install, installOf(0)]);
    test.strictSame(await installedAt(ledger, [install, entryOf(0), entryOf(1)]), [NOW, NOW, undefined]);
    test.strictSame(await ledger.export(2 ** 45 - 1), [
      { appleItemId: '18446744073709551615', installedAtSeconds: NOW },
    ]);
  });

  await withLedger('200 requests at once of one subject get the same answer', async (ledger, test) => {
    const subject = subjectOf('busy');
    const ask = async (at: number) => {
      const dtypes = await Promise.all(Array.from({ length: 200 }, () => dtypeOf(ledger, entryOf(subject), at)));
      test.equal(new Set(dtypes).size, 1);
      return dtypes[0];
    };
    test.equal(await ask(NOW), 'download');
    await Promise.all(Array.from({ length: 200 }, () => ledger.addInstalls([installOf(subject)])));
    test.equal(await ask(NOW + LIFETIME), 'redownload');
    test.strictSame(await ledger.stats(), { installs: 1 });
  });

  await withLedger(
    'export gives everything of a subject, forget deletes it, and nothing else',
    async (ledger, test) => {
      const [gone, kept] = [subjectOf('gone'), subjectOf('kept')];
      await ledger.addInstalls([
        installOf(gone, NOW + 5),
        installOf(gone, NOW, '6500000002'),
        installOf(kept, NOW + 5),
      ]);
      test.strictSame(await ledger.export(gone), [
        { appleItemId: '6500000002', installedAtSeconds: NOW },
        { appleItemId: APP, installedAtSeconds: NOW + 5 },
      ]);
      test.strictSame(await ledger.stats(), { installs: 3 });
      test.equal(await ledger.forget(gone), 2);
      test.equal(await ledger.forget(gone), 0);
      test.strictSame(await ledger.export(gone), []);
      test.strictSame(await ledger.stats(), { installs: 1 });
      test.equal(await dtypeOf(ledger, entryOf(gone), NOW + LIFETIME + 5), 'download');
      test.equal(await dtypeOf(ledger, entryOf(kept), NOW + LIFETIME + 5), 'redownload');
    },
  );

  await withLedger('prune deletes older installs, more than it deletes at once, and no other', async (ledger, test) => {
    const old = Array.from({ length: 2100 }, (_, index) => installOf(subjectOf(`old ${index}`)));
    for (let start = 0; start < old.length; start += 300) await ledger.addInstalls(old.slice(start, start + 300));
    await ledger.addInstalls([installOf(subjectOf('young'), NOW + 1)]);
    await ledger.prune(NOW);
    test.strictSame(await ledger.stats(), { installs: 2101 });
    test.equal(await ledger.prune(NOW + 1, 700), 700, 'at most so many');
    test.equal(await ledger.prune(NOW + 1), 1400);
    test.strictSame(await ledger.stats(), { installs: 1 });
  });

  await withLedger('the first fingerprint of a secret stays', async (ledger, test, url) => {
    test.equal(await ledger.secretFingerprint(), undefined);
    const second = keeps ? await openLedger(url) : ledger;
    if (second !== ledger) test.teardown(() => second.close());
    await Promise.all([ledger.keepSecretFingerprint('one'), second.keepSecretFingerprint('two')]);
    const first = await ledger.secretFingerprint();
    test.match(first, /^(one|two)$/);
    test.equal(await second.secretFingerprint(), first);
    await second.keepSecretFingerprint('three');
    test.equal(await ledger.secretFingerprint(), first);
  });

  await withLedger('a heartbeat proves that it can store, and its time goes on', async (ledger, test) => {
    const first = await ledger.beat();
    test.ok(Math.abs(first - Date.now() / 1000) < 60, 'seconds since 1970');
    test.ok((await ledger.beat()) >= first);
    test.strictSame(await ledger.stats(), { installs: 0 });
  });

  if (keeps)
    await withLedger('what was added survives reopening', async (ledger, test, url) => {
      const subject = subjectOf('reopened');
      await ledger.addInstalls([installOf(subject)]);
      const second = await openLedger(url);
      test.teardown(() => second.close());
      test.equal(await dtypeOf(second, entryOf(subject), NOW + LIFETIME), 'redownload');
    });

  await test.test('a closed ledger throws ledger_unavailable', async (inner) => {
    const ledger = await openLedger(await freshUrl());
    await ledger.ping();
    await ledger.close();
    const unavailable = { code: 'ledger_unavailable' };
    await inner.rejects(ledger.ping(), unavailable);
    await inner.rejects(ledger.beat(), unavailable);
    await inner.rejects(installedAt(ledger, [entryOf(subjectOf('late'))]), unavailable);
    await inner.rejects(ledger.addInstalls([installOf(subjectOf('late'))]), unavailable);
  });
}
