/** Terminal output of the commands: data on stdout as a table or JSON; questions and progress on stderr. */

import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';
import { WebdistError } from '../errors.ts';

/** The options of a command that prints data. */
export type JsonOption = { readonly json?: boolean };

/** Writes data to stdout: with `--json` as one line of JSON, otherwise the lines for people. */
export function print(data: unknown, json: boolean | undefined, lines: readonly string[]): void {
  process.stdout.write(json ? `${JSON.stringify(data)}\n` : lines.map((line) => `${line}\n`).join(''));
}

/** Rows under a head, columns two spaces apart. Control characters are replaced, so that data cannot move the cursor. */
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

/** Colours appear only on a terminal and without NO_COLOR; `styleText` checks both. */
export const bold = (text: string): string => styleText('bold', text);

const colours = { ok: 'green', warn: 'yellow', fail: 'red', info: 'blue' } as const;

/** One of the four results, padded to the width of the longest. */
export const resultWord = (result: keyof typeof colours): string => styleText(colours[result], result.padEnd(4));

const CLEAR_LINE = '\r\u001b[2K';

/** Writes a line to stderr. On a terminal, the line replaces the progress line. */
export const say = (line: string) => void process.stderr.write(`${process.stderr.isTTY ? CLEAR_LINE : ''}${line}\n`);

/** Replaces the text of the progress line. */
export type ShowProgress = (text: string) => void;

/**
 * Runs `work`. On a terminal, after one second a progress line shows the step and its duration, unless `work` shows its
 * own text. Elsewhere nothing is printed.
 */
export async function withProgress<T>(what: string, work: (show: ShowProgress) => Promise<T>): Promise<T> {
  if (!process.stderr.isTTY) return work(() => undefined);
  let seconds = 0;
  let isShown = false;
  const show: ShowProgress = (text) => {
    isShown = true;
    process.stderr.write(CLEAR_LINE + text);
  };
  let own = false;
  const timer = setInterval(() => {
    seconds += 1;
    if (!own) show(`${what} … ${seconds} s`);
  }, 1000);
  try {
    return await work((text) => {
      own = true;
      show(text);
    });
  } finally {
    clearInterval(timer);
    if (isShown) process.stderr.write(CLEAR_LINE);
  }
}

/**
 * Asks for confirmation before a change that cannot be undone; `--yes` confirms in advance. Throws `usage_invalid` if
 * there is no terminal, and `forbidden` after any answer but yes and after Ctrl-C.
 */
export async function confirm(question: string, yes: boolean | undefined): Promise<void> {
  if (yes) return;
  if (!process.stdin.isTTY || !process.stderr.isTTY)
    throw new WebdistError('usage_invalid', `This needs confirmation: ${question}`, {
      hint: 'Use --yes when there is no terminal.',
    });
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const stopped = new AbortController();
  prompt.once('SIGINT', () => stopped.abort());
  prompt.once('close', () => stopped.abort());
  try {
    const answer = await prompt.question(`${question} [y/N] `, { signal: stopped.signal });
    if (/^y(es)?$/i.test(answer.trim())) return;
  } catch (error) {
    if (!stopped.signal.aborted) throw error;
    process.stderr.write('\n');
  } finally {
    prompt.close();
  }
  throw new WebdistError('forbidden', 'Nothing was changed.');
}
