/**
 * The form of a backup: text, with one JSON document on each line. The header is the first line and the manifest the last
 * one. Each line between them belongs to an entry, which can have any number of lines. docs/backup.md
 * describes it.
 */

import { createHash } from 'node:crypto';
import { z } from 'zod';
import { parseOrders } from '../orders/orders.ts';
import { parseNotice } from '../registration/rotation/notice.ts';
import { registeredKeys } from '../registration/store-file.ts';

/** Increased when an older webdist could not read a backup correctly. */
export const BACKUP_FORMAT = 1;

const fileText = z.object({
  /** The name of the file, without a folder. */
  file: z.string().regex(/^[^/\\]+$/),
  text: z.string(),
});

/** AppleItemIDs and seconds since 1970, as in `InstallRecord`. */
const install = z
  .tuple([z.int(), z.string(), z.int(), z.int()])
  .transform(([subject, appleItemId, installedAtSeconds, redownloadAtSeconds]) => ({
    subject,
    appleItemId,
    installedAtSeconds,
    redownloadAtSeconds,
  }));

/** For each entry, in the order of the file: parses the data of a line. Throws if the data has another form. */
const parsers = {
  'ledger-secret': (data: unknown) => z.string().min(1).parse(data),
  registration: (data: unknown) => registeredKeys.parse(data),
  'ever-registered': (data: unknown) => z.array(z.string()).parse(data),
  rotation: (data: unknown) => parseNotice(JSON.stringify(data)),
  orders: (data: unknown) => parseOrders(JSON.stringify(data)),
  /** The lines of audit files, in parts. */
  audit: (data: unknown) => fileText.parse(data),
  /** Files of the data folder that contain private keys. */
  'key-files': (data: unknown) => fileText.parse(data),
  installs: (data: unknown) => z.array(install).parse(data),
};

export type EntryName = keyof typeof parsers;
export const ENTRY_NAMES = Object.keys(parsers) as EntryName[];

/** What the lines of each entry contain. */
export type DataOf = { [Name in EntryName]: ReturnType<(typeof parsers)[Name]> };

/** Counts the items of an entry for people: installs, lines, keys, names, or else files and documents. */
const counters: { [Name in EntryName]: (data: DataOf[Name]) => number } = {
  'ledger-secret': () => 1,
  registration: (keys) => Object.keys(keys).length,
  'ever-registered': (names) => names.length,
  rotation: () => 1,
  orders: () => 1,
  audit: ({ text }) => text.split('\n').length - 1,
  'key-files': () => 1,
  installs: (installs) => installs.length,
};

export const countOf = <Name extends EntryName>(name: Name, data: DataOf[Name]): number => counters[name](data);

export const parseData = <Name extends EntryName>(name: Name, data: unknown): DataOf[Name] =>
  parsers[name](data) as DataOf[Name];

export const headerForm = z.object({
  webdist: z.literal('backup'),
  format: z.int().positive(),
  createdAt: z.iso.datetime(),
  /** The version of webdist. */
  writtenBy: z.string(),
});

export type Header = z.output<typeof headerForm>;

const tally = z.object({ lines: z.int(), count: z.int(), sha256: z.string() });

/** For the header (`header`) and each entry: how many lines, how many items, and the SHA-256 of its lines. */
export const manifestForm = z.object({ manifest: z.record(z.string(), tally) });

export type Manifest = Readonly<Record<string, z.output<typeof tally>>>;

/** How many items of each entry a backup has. */
export const countsOf = (manifest: Manifest): Record<string, number> =>
  Object.fromEntries(ENTRY_NAMES.map((name) => [name, manifest[name]?.count ?? 0]));

/** Collects the manifest while lines are written or read. */
export function openManifest() {
  const parts = new Map<string, { lines: number; count: number; hash: ReturnType<typeof createHash> }>();
  return {
    /** `text` is the line without its line break. */
    add(name: EntryName | 'header', text: string, count: number): void {
      const part = parts.get(name) ?? { lines: 0, count: 0, hash: createHash('sha256') };
      part.lines += 1;
      part.count += count;
      part.hash.update(`${text}\n`);
      parts.set(name, part);
    },
    manifest: (): Manifest =>
      Object.fromEntries(
        Array.from(parts, ([name, { lines, count, hash }]) => [
          name,
          { lines, count, sha256: hash.copy().digest('hex') },
        ]),
      ),
  };
}
