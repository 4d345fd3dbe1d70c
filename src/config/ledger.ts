/** The settings of the ledger. */

import { resolve } from 'node:path';
import type { LedgerAddress } from '../ledger/contract.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import type { Problem } from './problems.ts';
import type { Read } from './read.ts';
import type { SettingName, Values } from './settings.ts';

/** The settings that the ledger depends on. */
export const ledgerNames: readonly SettingName[] = [
  'WEBDIST_LEDGER',
  'WEBDIST_LEDGER_READ',
  'PGPASSWORD',
  'WEBDIST_LEDGER_SECRET',
  'WEBDIST_LEDGER_DOWN',
  'WEBDIST_LEDGER_RETENTION_DAYS',
  'WEBDIST_INSTALL_EVIDENCE',
  'WEBDIST_TOKEN_LIFETIME',
  'WEBDIST_DATA_DIR',
];

type LedgerSettings = LedgerAddress & {
  /** The read replica. */
  readonly read?: LedgerAddress | undefined;
  readonly secret: string | undefined;
  readonly whenDown: Values['WEBDIST_LEDGER_DOWN'];
  readonly evidence: Values['WEBDIST_INSTALL_EVIDENCE'];
  readonly retentionDays: number;
};

/** Returns the settings of the ledger. Adds a problem to `problems` for each one that is missing or does not fit. */
export function ledgerOf({ values, given, files }: Read, problems: Problem[]): LedgerSettings {
  const url = values.WEBDIST_LEDGER ?? `sqlite://${resolve(values.WEBDIST_DATA_DIR, 'ledger.sqlite')}`;
  const { isShared, name, loadReplica } = ledgerBackend(url);
  if (isShared && !given.has('WEBDIST_LEDGER_SECRET'))
    problems.push({
      variable: 'WEBDIST_LEDGER_SECRET',
      message: `is required with ${name}, and must be the same for all replicas (openssl rand -base64 32)`,
    });
  if (values.WEBDIST_LEDGER_READ && !loadReplica)
    problems.push({
      variable: 'WEBDIST_LEDGER_READ',
      message: `needs WEBDIST_LEDGER=postgres://…, because it must be a replica of that database`,
    });
  const login = { password: values.PGPASSWORD, passwordFile: files.get('PGPASSWORD') };
  const readUrl = values.WEBDIST_LEDGER_READ;
  const read: LedgerAddress | undefined = readUrl
    ? { url: readUrl, urlFile: files.get('WEBDIST_LEDGER_READ'), ...login }
    : undefined;
  return {
    url,
    urlFile: files.get('WEBDIST_LEDGER'),
    ...login,
    read,
    secret: values.WEBDIST_LEDGER_SECRET,
    whenDown: values.WEBDIST_LEDGER_DOWN,
    evidence: values.WEBDIST_INSTALL_EVIDENCE,
    retentionDays: values.WEBDIST_LEDGER_RETENTION_DAYS,
  };
}
