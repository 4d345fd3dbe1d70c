/**
 * `webdist ledger`: counts the installs in the ledger, and exports or deletes those of one subject, as data protection
 * law requires (docs/ledger.md).
 */

import { ledgerSettings, processSettings } from '../../config/config.ts';
import type { Ledger } from '../../ledger/contract.ts';
import { expectLedgerFile, openLedger } from '../../ledger/ledger.ts';
import { checkSecret } from '../../ledger/secret-check.ts';
import { derivedKey, ledgerSecret, secretFingerprint } from '../../service/secret.ts';
import { type Subject, type SubjectHash, subjectHashes } from '../../service/subject.ts';
import { type ChangeOptions, goesOn } from '../change.ts';
import { type JsonOption, print } from '../terminal.ts';

type Options = JsonOption & { readonly device?: boolean };

export async function exportSubject(id: string, { device, json }: Options): Promise<void> {
  const { tagText, installs } = await withLedger(async (ledger, hash) => {
    const { tag, tagText } = hash(subjectOf(id, device));
    return { tagText, installs: await ledger.export(tag) };
  });
  const data = {
    subject: tagText,
    installs: installs.map(({ appleItemId, installedAtSeconds }) => ({
      appleItemId,
      installedAt: new Date(installedAtSeconds * 1000).toISOString(),
    })),
  };
  print(data, json, [
    `subject  ${data.subject}`,
    ...data.installs.map(({ appleItemId, installedAt }) => `install  ${appleItemId}  ${installedAt}`),
  ]);
}

export async function forgetSubject(id: string, options: Options & ChangeOptions): Promise<void> {
  const installs = await withLedger(async (ledger, hash) => {
    const { tag, tagText } = hash(subjectOf(id, options.device));
    const found = await ledger.export(tag);
    if (!(await goesOn({ action: `delete ${found.length} installs of ${tagText}` }, options))) return undefined;
    return ledger.forget(tag);
  });
  if (installs === undefined) return;
  print({ forgottenInstalls: installs }, options.json, [`forgotten installs  ${installs}`]);
}

export async function showStats({ json }: JsonOption): Promise<void> {
  const stats = await withLedger((ledger) => ledger.stats());
  print(stats, json, [`installs  ${stats.installs}`]);
}

/** Accepts the whole value of the cookie, whose signature follows the dot. */
const subjectOf = (id: string, device = false): Subject =>
  device ? { kind: 'device', id: id.replace(/\.[\w-]{43}$/, '') } : { kind: 'caller', id };

async function withLedger<T>(
  work: (ledger: Ledger, hash: (subject: Subject) => SubjectHash) => Promise<T>,
): Promise<T> {
  const { dataDir, ledger: settings } = ledgerSettings(processSettings());
  expectLedgerFile(settings.url);
  const secret = settings.secret ?? (await ledgerSecret(dataDir));
  const hash = subjectHashes(derivedKey(secret, 'subject'));
  const ledger = await openLedger(settings);
  try {
    await checkSecret(ledger, secretFingerprint(secret));
    return await work(ledger, hash);
  } finally {
    await ledger.close();
  }
}
