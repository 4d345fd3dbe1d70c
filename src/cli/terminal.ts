/** Terminal output of the commands: data on stdout as a table or JSON; questions, messages and progress on stderr. */

import { createInterface } from 'node:readline/promises';
import { styleText } from 'node:util';
import { WebdistError } from '../errors.ts';
import { visible } from '../visible.ts';

/** The options of a command that prints data. */
export type JsonOption = { readonly json?: boolean };

/** A line of output. Only the start of a line can have a style, so that text from outside never has one. */
export type Line = string | { readonly start: string; readonly style: Style; readonly rest: string };
type Style = 'bold' | (typeof colours)[keyof typeof colours];

/**
 * Writes data to stdout: with `--json` as one line of JSON, otherwise the lines for people. Control characters are
 * escaped in both; in JSON, the escaped text is equal to the original.
 */
export function print(data: unknown, json: boolean | undefined, lines: readonly Line[]): void {
  const texts = json ? [visible(JSON.stringify(data))] : lines.map(styled);
  process.stdout.write(texts.map((text) => `${text}\n`).join(''));
}

/** Colours appear only on a terminal and without NO_COLOR; `styleText` checks both. */
const styled = (line: Line): string =>
  typeof line === 'string' ? visible(line) : styleText(line.style, visible(line.start)) + visible(line.rest);

/** Rows under a head, columns two spaces apart. */
export function table(head: readonly string[], rows: readonly (readonly (string | undefined)[])[]): Line[] {
  const plain = [head, ...rows.map((row) => row.map((cell) => visible(cell ?? '')))];
  const widths = head.map((_, column) => Math.max(...plain.map((row) => row[column]?.length ?? 0)));
  const lines = plain.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return [bold(lines[0] ?? ''), ...lines.slice(1)];
}

export const bold = (text: string): Line => ({ start: text, style: 'bold', rest: '' });

const colours = { ok: 'green', warn: 'yellow', fail: 'red', info: 'blue' } as const;

/** A line that starts with one of the four results, padded to the width of the longest. */
export const resultLine = (result: keyof typeof colours, text: string, indent = ''): Line => ({
  start: indent + result.padEnd(4),
  style: colours[result],
  rest: `  ${text}`,
});

const CLEAR_LINE = '\r\u001b[2K';

/** Writes a line to stderr. On a terminal, the line replaces the progress line. */
export const say = (line: string) =>
  void process.stderr.write(`${process.stderr.isTTY ? CLEAR_LINE : ''}${visible(line)}\n`);

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
    process.stderr.write(CLEAR_LINE + visible(text));
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

/** Whether a person can answer questions. */
export const isInteractive = (): boolean => process.stdin.isTTY && process.stderr.isTTY;

/** Asks a question at the terminal. Returns the trimmed answer; undefined after Ctrl-C and Ctrl-D. */
export async function ask(question: string): Promise<string | undefined> {
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  const stopped = new AbortController();
  prompt.once('SIGINT', () => stopped.abort());
  prompt.once('close', () => stopped.abort());
  try {
    return (await prompt.question(visible(question), { signal: stopped.signal })).trim();
  } catch (error) {
    if (!stopped.signal.aborted) throw error;
    process.stderr.write('\n');
    return undefined;
  } finally {
    prompt.close();
  }
}

/** After an answer that cancels a command. */
export const nothingChanged = () => new WebdistError('forbidden', 'Nothing was changed.');
