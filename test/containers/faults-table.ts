/** The table in docs/faults.md: written by one run, and compared with the outcomes of every other run. */

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import type { Test } from 'tap';
import { expected, type Fault, MODES, type Mode, mayBeSeen } from './faults.ts';
import { type Answer, outcomesOf } from './load.ts';

const DOCUMENT = 'docs/faults.md';

/** What was observed during one fault. */
export type Seen = {
  /** Responses to requests sent while it lasted. */
  readonly during: Readonly<Record<Mode, readonly Answer[]>>;
  /** Responses after its end, until everything had recovered. */
  readonly after: Readonly<Record<Mode, readonly Answer[]>>;
  /** What health reported as degraded while it lasted. */
  readonly degraded: readonly string[];
  /** The time from its end to the last unusual response, and to the first healthy report. */
  readonly answersMs: number;
  readonly healthMs: number;
};

export const slowestMs = (answers: readonly Answer[]) =>
  Math.max(...answers.map(({ sentAt, endedAt }) => endedAt - sentAt));

/** The table row of a fault, with the figures of this run. */
export function lineOf({ dependency, what }: Fault, seen: Seen, seconds: number): string {
  const outcomes = MODES.map((mode) =>
    [...outcomesOf(seen.during[mode])].map(([outcome, count]) => `${count} × \`${outcome}\``).join(', '),
  );
  const inSeconds = (ms: number) => (ms < 50 ? 'at once' : `${(ms / 1000).toFixed(1)} s`);
  const cells = [
    dependency,
    `${what}, ${seconds} s`,
    ...outcomes,
    `${Math.round(slowestMs(MODES.flatMap((mode) => seen.during[mode])))} ms`,
    seen.degraded.map((name) => `\`${name}\``).join(', ') || 'nothing',
    inSeconds(seen.answersMs),
    inSeconds(seen.healthMs),
  ];
  return `| ${cells.join(' | ')} |`;
}

/** Compares the outcomes of a fault, but not its figures, with the page. */
export function checkLine(t: Test, { dependency, what, loses }: Fault): void {
  const lines = readFileSync(DOCUMENT, 'utf8').split('\n');
  const line = lines.find((text) => text.startsWith(`| ${dependency} | ${what}, `)) ?? '';
  const cells = line.split(' | ').slice(2, 4);
  for (const [index, mode] of MODES.entries()) {
    const said = [...(cells[index] ?? '').matchAll(/`([^`]+)`/g)].map(([, outcome = '']) => outcome);
    t.ok(said.includes(expected(loses, mode)), `${DOCUMENT} says ${expected(loses, mode)} of it`);
    const others = said.filter((outcome) => !mayBeSeen(mode).includes(outcome));
    t.strictSame(others, [], 'and nothing that cannot be');
  }
}

/** Writes these lines into the page, with the machine and the date of the measurement. */
export function writeTable(lines: readonly string[]): void {
  const [{ model } = { model: 'unknown' }] = cpus();
  const day = new Date().toISOString().slice(0, 10);
  const load = loadavg()[2]?.toFixed(1);
  const generated = [
    `Measured on ${day}, on ${cpus().length} processors (${model.trim()}), with a load average of ${load} over the last quarter of an hour.`,
    '',
    '| what | fault | `issue` | `refuse` | slowest answer | degraded | answers as before | health as before |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...lines,
  ];
  const between = /(<!-- faults -->\n)[\s\S]*?(<!-- \/faults -->)/;
  const text = readFileSync(DOCUMENT, 'utf8');
  writeFileSync(
    DOCUMENT,
    text.replace(between, (_, a, b) => `${a}${generated.join('\n')}\n${b}`),
  );
}
