/**
 * The lines of an audit file: JSON, each with the SHA-256 of the line before it, so that none can be changed, taken
 * out or put in between without every later one saying so.
 */

import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { z } from 'zod';
import { WebdistError } from '../errors.ts';

/** One token that was issued. No token, no secret: the subject is a keyed hash. */
export type AuditEntry = {
  /** When, ISO 8601. */
  readonly at: string;
  readonly nonce: string;
  readonly keyId: string;
  readonly app: string;
  readonly dtype: string;
  readonly subject?: string | undefined;
  /** `page`, `device`, or `server:` and the name of its API key. */
  readonly caller: string;
};

/** What stands before the first line. */
export const CHAIN_START = '0'.repeat(64);

/** Hash of a line without its end, as the next line repeats it. */
export const hashOf = (line: string): string => createHash('sha256').update(line).digest('hex');

/** A line, without its end, that follows the one with this hash. */
export const lineOf = (entry: AuditEntry | Mend, prev: string): string => JSON.stringify({ prev, ...entry });

/** Says in the file that a process was killed while it wrote, and how many bytes of a line were taken away. */
export type Mend = { readonly at: string; readonly repairedBytes: number };

const lineForm = z.object({ prev: z.string().length(64), at: z.string(), nonce: z.string().optional() });

/** A whole line with its place in the file, counted from 1. */
export type ChainedLine = {
  readonly number: number;
  readonly text: string;
  readonly hash: string;
  readonly nonce: string | undefined;
};

/**
 * Reads a file line by line and holds each against the one before. Bytes after the last line's end are given to `torn`.
 * Throws `state_invalid` at the first line that does not follow, or for a file that cannot be read.
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
      hint: 'A line was changed, taken out or put in at or before this place: compare with a backup.',
    });
  return line.data.nonce;
}
