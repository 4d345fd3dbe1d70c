/** What commands share at the terminal: data as a table or JSON on stdout, questions and progress on stderr. */

import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';
import { WebdistError } from '../errors.ts';

/** Commander's answer for a command with `--json`. */
export type JsonOption = { readonly json?: boolean };

/** Writes data to stdout: with `--json` as one line of JSON, else the lines for people. */
export function print(data: unknown, json: boolean | undefined, lines: readonly string[]): void {
  process.stdout.write(json ? `${JSON.stringify(data)}\n` : lines.map((line) => `${line}\n`).join(''));
}

/** Rows under a head, columns two blanks apart. What came from elsewhere cannot move the cursor. */
export function table(head: readonly string[], rows: readonly (readonly (string | undefined)[])[]): string[] {
  const plain = [head, ...rows.map((row) => row.map((cell) => oneLine(cell ?? '')))];
  const widths = head.map((_, column) => Math.max(...plain.map((row) => row[column]?.length ?? 0)));
  const lines = plain.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return [bold(lines[0] ?? ''), ...lines.slice(1)];
}

const oneLine = (text: string) => text.replace(/\p{Cc}+/gu, ' ');

/** On a terminal and without NO_COLOR; `styleText` looks at stdout by itself. */
export const bold = (text: string): string => styleText('bold', text);

const colours = { ok: 'green', warn: 'yellow', fail: 'red', info: 'blue' } as const;

/** One of the four results, padded to the width of the longest. */
export const resultWord = (result: keyof typeof colours): string => styleText(colours[result], result.padEnd(4));

/** A line on stderr; on a terminal the line that says how long one waits already makes way. */
export const say = (line: string) => void process.stderr.write(`${process.stderr.isTTY ? '\r\u001b[2K' : ''}${line}\n`);

/** Does work; when it takes longer than a second a line on the terminal says what is waited for. */
export async function withProgress<T>(what: string, work: () => Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return work();
  let seconds = 0;
  const timer = setInterval(() => process.stderr.write(`\r\u001b[2K${what} … ${++seconds} s`), 1000);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    if (seconds > 0) process.stderr.write('\r\u001b[2K');
  }
}

/**
 * Asks before something that cannot be undone; `--yes` answers beforehand. Throws `usage_invalid` where nobody can be
 * asked, and `forbidden` when the answer is anything but yes, Ctrl-C included.
 */
export async function agree(what: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new WebdistError('usage_invalid', `${what} needs a yes, and there is no terminal to ask on.`, {
      hint: 'Add --yes.',
    });
  const asking = createInterface({ input: process.stdin, output: process.stderr });
  const stopped = new AbortController();
  asking.once('SIGINT', () => stopped.abort());
  asking.once('close', () => stopped.abort());
  try {
    const answer = await asking.question(`${what} [y/N] `, { signal: stopped.signal });
    if (/^y(es)?$/i.test(answer.trim())) return;
  } catch (error) {
    if (!stopped.signal.aborted) throw error;
    process.stderr.write('\n');
  } finally {
    asking.close();
  }
  throw new WebdistError('forbidden', 'Nothing was changed.');
}
