/** Writes a backup, line by line, so that its size does not matter. */

import type { InstallRecord } from '../ledger/contract.ts';
import { version } from '../version.ts';
import {
  BACKUP_FORMAT,
  countOf,
  type DataOf,
  type EntryName,
  type Header,
  type Manifest,
  openManifest,
} from './format.ts';

/** Adds one line to an entry. */
export type Put = <Name extends EntryName>(name: Name, data: DataOf[Name]) => Promise<void>;

/** Writes the header, the lines that `collect` puts, and the manifest, which is returned. `write` gets whole lines. */
export async function writeBackup(
  write: (lines: string) => Promise<void>,
  createdAt: string,
  collect: (put: Put) => Promise<void>,
): Promise<Manifest> {
  const parts = openManifest();
  const header: Header = { webdist: 'backup', format: BACKUP_FORMAT, createdAt, writtenBy: version };
  const headerText = textOf(header);
  parts.add('header', headerText, 1);
  await write(`${headerText}\n`);
  await collect(async (name, data) => {
    const text = textOf({ entry: name, data: name === 'installs' ? (data as DataOf['installs']).map(short) : data });
    parts.add(name, text, countOf(name, data));
    await write(`${text}\n`);
  });
  const manifest = parts.manifest();
  await write(`${textOf({ manifest })}\n`);
  return manifest;
}

const short = ({ subject, appleItemId, installedAtSeconds, redownloadAtSeconds }: InstallRecord) => [
  subject,
  appleItemId,
  installedAtSeconds,
  redownloadAtSeconds,
];

/** Returns one line of JSON. U+2028 and U+2029 are escaped, because some readers treat them as line breaks. */
const textOf = (value: unknown): string =>
  JSON.stringify(value).replace(/[\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16)}`);
