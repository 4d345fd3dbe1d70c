/** Reads a backup and checks all of it: its format, the form of every line, and the checksums in its manifest. */

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { isWebdistError, WebdistError } from '../errors.ts';
import { refuseNewer } from '../stored-format.ts';
import {
  BACKUP_FORMAT,
  countOf,
  type DataOf,
  ENTRY_NAMES,
  type EntryName,
  type Header,
  headerForm,
  type Manifest,
  manifestForm,
  openManifest,
  parseData,
} from './format.ts';

/** What is done with each line of an entry. */
export type Takers = { readonly [Name in EntryName]: (data: DataOf[Name]) => Promise<void> };

export type Summary = { readonly header: Header; readonly manifest: Manifest };

/**
 * Calls the entry's taker with each line of a backup. Throws `state_invalid` in one sentence if the file cannot be read,
 * is damaged, or was written by a newer webdist. Damage may be found only after earlier lines have been passed on, so
 * read the whole file once without takers first.
 */
export async function readBackup(path: string, takers: Partial<Takers> = {}): Promise<Summary> {
  const parts = openManifest();
  let header: Header | undefined;
  let manifest: Manifest | undefined;
  let entry = 'header';
  for await (const text of linesOf(path)) {
    if (manifest) throw damaged(path, 'it continues after its manifest');
    if (!header) {
      header = headerIn(text, path);
      parts.add('header', text, 1);
      continue;
    }
    const line = parsedOr(() => JSON.parse(text) as Line, path, `a line in or after the entry ${entry}`);
    if (line.manifest) {
      manifest = parsedOr(() => manifestForm.parse(line).manifest, path, 'its manifest');
      continue;
    }
    const name = ENTRY_NAMES.find((one) => one === line.entry);
    if (!name) throw damaged(path, `an entry after ${entry} has no known name`);
    entry = name;
    const data = parsedOr(() => parseData(name, line.data), path, `the entry ${name}`);
    parts.add(name, text, countOf(name, data));
    await (takers[name] as ((data: unknown) => Promise<void>) | undefined)?.(data);
  }
  if (!header) throw damaged(path, 'it is empty');
  if (!manifest) throw damaged(path, `it is incomplete, and ends in the entry ${entry}`);
  expectEqual(parts.manifest(), manifest, path);
  return { header, manifest };
}

type Line = { readonly entry?: unknown; readonly data?: unknown; readonly manifest?: unknown };

async function* linesOf(path: string): AsyncGenerator<string> {
  const input = createReadStream(path, 'utf8');
  try {
    yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new WebdistError('state_invalid', `The backup ${path} cannot be read (${code}).`, { cause });
  } finally {
    input.destroy();
  }
}

function headerIn(text: string, path: string): Header {
  try {
    const document = JSON.parse(text) as { webdist?: unknown; format?: unknown };
    if (document.webdist === 'backup') refuseNewer(`The backup ${path}`, document.format, BACKUP_FORMAT);
    return headerForm.parse(document);
  } catch (error) {
    if (isWebdistError(error)) throw error;
    throw new WebdistError('state_invalid', `${path} is not a backup of webdist, or its first line is damaged.`, {
      hint: 'Decrypt or unpack the file first, if it was encrypted or compressed.',
    });
  }
}

/** The cause is not kept, because it can quote the line, and the line may contain a secret. */
function parsedOr<T>(parse: () => T, path: string, where: string): T {
  try {
    return parse();
  } catch (error) {
    throw isWebdistError(error) ? error : damaged(path, `${where} cannot be read`);
  }
}

function expectEqual(found: Manifest, expected: Manifest, path: string): void {
  for (const name of new Set([...Object.keys(expected), ...Object.keys(found)]))
    if (found[name]?.sha256 !== expected[name]?.sha256 || found[name]?.count !== expected[name]?.count)
      throw damaged(path, `the entry ${name} was changed after it was written`);
}

const damaged = (path: string, what: string) =>
  new WebdistError('state_invalid', `The backup ${path} is damaged: ${what}.`, { hint: 'Use another backup.' });
