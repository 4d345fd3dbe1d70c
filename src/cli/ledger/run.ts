/** `webdist ledger`: what the ledger holds, and the rights of the people it is about (docs/ledger.md). */

import { existsSync } from 'node:fs';
import { ledgerSettings, processSettings } from '../../config/config.ts';
import { WebdistError } from '../../errors.ts';
import { ledgerBackend } from '../../ledger/ledger.ts';
import { openLog } from '../../log.ts';
import { openMetrics } from '../../metrics.ts';
import { openRecords, type Records, type Subject } from '../../service/records.ts';
import { ledgerSecret } from '../../service/secret.ts';

type Options = { readonly device?: boolean; readonly json?: boolean };

export async function exportSubject(id: string, { device, json }: Options): Promise<void> {
  const subject = subjectOf(id, device);
  const { hash, installs, tokens } = await withRecords(async (records) => ({
    hash: records.hash(subject),
    ...(await records.export(subject)),
  }));
  const data = {
    subject: hash,
    installs: installs.map(({ appleItemId, installedAtSeconds }) => ({
      appleItemId,
      installedAt: dateOf(installedAtSeconds),
    })),
    tokens: tokens.map(({ appleItemId, issuedAtSeconds, nonce }) => ({
      appleItemId,
      issuedAt: dateOf(issuedAtSeconds),
      nonce,
    })),
  };
  print(data, json, [
    `subject  ${hash}`,
    ...data.installs.map(({ appleItemId, installedAt }) => `install  ${appleItemId}  ${installedAt}`),
    ...data.tokens.map(({ appleItemId, issuedAt, nonce }) => `token    ${appleItemId}  ${issuedAt}  ${nonce}`),
  ]);
}

export async function forgetSubject(id: string, { device, json }: Options): Promise<void> {
  const installs = await withRecords((records) => records.forget(subjectOf(id, device)));
  print({ forgottenInstalls: installs }, json, [`forgotten installs  ${installs}`]);
}

export async function showStats({ json }: Options): Promise<void> {
  const stats = await withRecords((records) => records.stats());
  print(stats, json, [`installs  ${stats.installs}`, `tokens    ${stats.tokens}`]);
}

/** The cookie may be pasted as it is: what follows the dot is its signature. */
const subjectOf = (id: string, device = false): Subject =>
  device ? { kind: 'device', id: id.split('.', 1)[0] ?? '' } : { kind: 'caller', id };

const dateOf = (seconds: number) => new Date(seconds * 1000).toISOString();

function print(data: object, json: boolean | undefined, lines: readonly string[]): void {
  process.stdout.write(json ? `${JSON.stringify(data)}\n` : `${lines.join('\n')}\n`);
}

async function withRecords<T>(work: (records: Records) => Promise<T>): Promise<T> {
  const settings = ledgerSettings(processSettings());
  const { url, secret } = settings.ledger;
  const path = ledgerBackend(url).fileOf?.(url);
  if (path !== undefined && !existsSync(path))
    throw new WebdistError('state_invalid', `There is no ledger at ${path}.`, {
      hint: 'Give this command the same WEBDIST_LEDGER and WEBDIST_DATA_DIR as the service.',
    });
  const records = await openRecords(settings, {
    secret: secret ?? (await ledgerSecret(settings.dataDir)),
    metrics: openMetrics(),
    log: openLog('silent'),
    now: Date.now,
  });
  try {
    return await work(records);
  } finally {
    await records.close();
  }
}
