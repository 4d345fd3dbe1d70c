/**
 * The lines of an audit file. Each is JSON and contains the SHA-256 of the line before it, so that a changed, removed
 * or inserted line breaks the chain.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { z } from 'zod';
import { WebdistError } from '../errors.ts';

/** One issued token, without the token itself and without secrets. The subject is a keyed hash. */
export type AuditEntry = {
  /** When, ISO 8601. */
  readonly at: string;
  readonly nonce: string;
  readonly keyId: string;
  readonly app: string;
  readonly dtype: string;
  /** `cookie`, `caller` or `none`. */
  readonly dtypeSource?: string | undefined;
  readonly subject?: string | undefined;
  /** `page`, `device`, `command`, or `server:` and the name of its API key. */
  readonly caller: string;
};

/** The first line contains this instead of the hash of a preceding line. */
export const CHAIN_START = '0'.repeat(64);

/** Returns the hash of a line without its line break, in the form that the next line contains. */
export const hashOf = (line: string): string => createHash('sha256').update(line).digest('hex');

/** Returns the line, without its line break, that follows the line with the hash `prev`. */
export const lineOf = (entry: AuditEntry | AuditRepair, prev: string): string => JSON.stringify({ prev, ...entry });

/**
 * Returns a line which records that a process was killed while it wrote, and how many bytes of an incomplete line were
 * removed.
 */
export type AuditRepair = { readonly at: string; readonly repairedBytes: number };

const lineForm = z.object({ prev: z.string().length(64), at: z.string(), nonce: z.string().optional() });

/** A complete line and its number in the file, counted from 1. */
export type ChainedLine = {
  readonly number: number;
  readonly text: string;
  readonly hash: string;
  readonly nonce: string | undefined;
};

/**
 * Reads a file line by line, and checks each line against the one before. Calls `torn` with the number of bytes after
 * the last line break. Throws `state_invalid` at the first line that breaks the chain, and for a file that cannot be
 * read.
 */
export async function* readChain(path: string, torn: (bytes: number) => void): AsyncGenerator<ChainedLine> {
  let prev = CHAIN_START;
  let number = 0;
  let rest = '';
  const stream = createReadStream(path, 'utf8');
  try {
    for await (const chunk of stream) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const text of lines) {
        number += 1;
        const nonce = readLine(path, number, text, prev);
        prev = hashOf(text);
        yield { number, text, hash: prev, nonce };
      }
    }
  } catch (cause) {
    if (cause instanceof WebdistError) throw cause;
    throw new WebdistError('state_invalid', `${path} cannot be read (${(cause as NodeJS.ErrnoException).code}).`, {
      cause,
    });
  }
  if (rest) torn(Buffer.byteLength(rest));
}

function readLine(path: string, number: number, text: string, prev: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new WebdistError('state_invalid', `${path}, line ${number}: is not JSON.`, { cause });
  }
  const line = lineForm.safeParse(value);
  if (!line.success)
    throw new WebdistError('state_invalid', `${path}, line ${number}: is not a line of an audit file.`);
  if (line.data.prev !== prev)
    throw new WebdistError('state_invalid', `${path}, line ${number}: does not follow the line before it.`, {
      hint: 'A line was changed, removed or inserted here or before: compare with a backup.',
    });
  return line.data.nonce;
}
