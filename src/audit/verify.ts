/**
 * Reads audit lines from files, and checks the chains in them together. The files may come from several processes and
 * machines, and in any order. Other text, such as the prefix that syslog adds or lines of the log, is skipped.
 */

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { z } from 'zod';
import { isWebdistError, WebdistError } from '../errors.ts';
import { refuseNewer } from '../stored-format.ts';
import { AUDIT_FORMAT, CHAIN_START, hashOf } from './chain.ts';

const lineForm = z.object({
  chain: z.string().min(1).max(64),
  seq: z.int().min(1),
  prev: z.string().length(64),
  at: z.string(),
  event: z.string(),
  format: z.int().optional(),
  nonce: z.string().optional(),
});

/** An audit line that was read. */
export type ReadLine = z.output<typeof lineForm> & { readonly text: string; readonly hash: string };

/** What is known about the chain of one process. */
export type ChainReport = {
  readonly chain: string;
  readonly lines: number;
  /** The numbers of the first and the last line. A chain whose earlier files are not given starts later than 1. */
  readonly first: number;
  readonly last: number;
  /** The hash of the last line. */
  readonly head: string;
  readonly problems: readonly string[];
};

/** Calls `found` with each audit line; returns how many other lines there are. Throws `state_invalid`. */
export async function readLines(paths: readonly string[], found: (line: ReadLine) => void): Promise<number> {
  let others = 0;
  for (const path of paths) {
    const input = createReadStream(path, 'utf8');
    try {
      for await (const text of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
        const line = parseLine(text);
        if (line) {
          refuseNewer(`The audit file ${path}`, line.format, AUDIT_FORMAT);
          found(line);
        } else if (text !== '') others += 1;
      }
    } catch (cause) {
      if (isWebdistError(cause)) throw cause;
      const { code } = cause as NodeJS.ErrnoException;
      throw new WebdistError('state_invalid', `${path} cannot be read (${code}).`, { cause });
    } finally {
      input.destroy();
    }
  }
  return others;
}

/** Returns undefined for a line that is not from an audit log, or that is incomplete. */
export function parseLine(written: string): ReadLine | undefined {
  const start = written.indexOf('{"chain":"');
  if (start < 0) return undefined;
  const text = written.slice(start);
  try {
    const { success, data } = lineForm.safeParse(JSON.parse(text));
    return success ? { ...data, text, hash: hashOf(text) } : undefined;
  } catch {
    // Not JSON: a process was killed while it wrote.
    return undefined;
  }
}

/** Collects lines in any order, and reports on their chains. A line that was delivered twice counts once. */
export function openVerification() {
  const chains = new Map<string, ReturnType<typeof openChainCheck>>();
  return {
    add(line: ReadLine): void {
      const check = chains.get(line.chain) ?? openChainCheck(line.chain);
      chains.set(line.chain, check);
      check.add(line);
    },
    reports: (): ChainReport[] => [...chains.values()].map(({ report }) => report()),
  };
}

function openChainCheck(chain: string) {
  /** The hash of each line, by its number. */
  const hashes = new Map<number, string>();
  /** For lines that were not read yet: the hash that the following line requires. */
  const expected = new Map<number, string>();
  const problems: string[] = [];
  return {
    add({ seq, prev, hash }: ReadLine): void {
      const known = hashes.get(seq);
      if (known === hash) return;
      if (known !== undefined) {
        problems.push(`line ${seq} appears twice, with different content`);
        return;
      }
      hashes.set(seq, hash);
      const before = seq === 1 ? CHAIN_START : hashes.get(seq - 1);
      if (before === undefined) expected.set(seq - 1, prev);
      else if (before !== prev) problems.push(brokenAt(seq));
      const wanted = expected.get(seq);
      if (wanted !== undefined && wanted !== hash) problems.push(brokenAt(seq + 1));
    },
    report(): ChainReport {
      const numbers = [...hashes.keys()].sort((a, b) => a - b);
      const [first = 0] = numbers;
      const last = numbers.at(-1) ?? 0;
      const missing = numbers.flatMap((seq, index) => {
        const previous = index === 0 ? seq - 1 : (numbers[index - 1] ?? 0);
        return previous === seq - 1 ? [] : [missingLines(previous + 1, seq - 1)];
      });
      const head = hashes.get(last) ?? '';
      return { chain, lines: hashes.size, first, last, head, problems: [...problems, ...missing] };
    },
  };
}

const brokenAt = (seq: number): string =>
  seq === 1
    ? 'line 1 does not start the chain'
    : `line ${seq} does not follow line ${seq - 1}: one of them was changed`;

const missingLines = (from: number, to: number): string =>
  from === to ? `line ${from} is missing` : `lines ${from} to ${to} are missing`;
