/**
 * The report of a test run: a line for each file, after a failed one everything that tap knows about its failures, and at the end
 * every skipped test with its reason, the slowest files, the first failure of each failed file in brief, and one line of totals. tap
 * pipes its TAP (https://testanything.org) through this stream.
 */

import { Transform } from 'node:stream';

type Point = { readonly ok: boolean; readonly name: string; readonly directive?: string; readonly seconds: number };

type Failure = { readonly file: string; readonly title: string; readonly yaml: string[] };

const SLOWEST = 5;
/** Lines of a failure in the summary, and their length. */
const [BRIEF_LINES, BRIEF_WIDTH] = [15, 300];

/** `    not ok 3 - the name # SKIP why # time=12ms`, with its indentation. */
const pointPattern = /^( *)(not )?ok \d+(?: - (.*?))?(?: # (SKIP|TODO)\b ?(.*?))?(?: # time=([\d.]+)(ms|s|m))?( \{)?$/i;
const units = { ms: 0.001, s: 1, m: 60 };

const isFile = (title: string) => title.endsWith('.test.ts');

/** A path from its file on: a file may be run by another one (test/all.ts). */
const shown = (path: readonly string[]) => path.slice(Math.max(0, path.findIndex(isFile))).join(' › ');

export default class Report extends Transform {
  #rest = '';
  /** Titles of the tests around the current line, the file first. */
  #titles: string[] = [];
  /** The indentation of the YAML of a failure; undefined outside of one. */
  #yaml: number | undefined;
  #failures: Failure[] = [];
  /** How many of them have been printed whole. */
  #printed = 0;
  /** The full path of each failure so far, from the outermost test. */
  #described: string[] = [];
  #skips: string[] = [];
  #files: Point[] = [];
  #passed = 0;
  #failed = 0;
  /** The depths at which the next test point closes a subtest, and so is not an assertion itself. */
  #closes = new Set<number>();

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const lines = (this.#rest + chunk.toString()).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#read(line);
    done();
  }

  override _flush(done: () => void): void {
    if (this.#rest) this.#read(this.#rest);
    const slowest = this.#files.toSorted((a, b) => b.seconds - a.seconds).slice(0, SLOWEST);
    this.#print('');
    for (const skip of this.#skips) this.#print(`skipped: ${skip}`);
    if (this.#files.length > SLOWEST)
      this.#print(`slowest: ${slowest.map(({ name, seconds }) => `${name} ${seconds.toFixed(1)} s`).join(', ')}`);
    this.#printFailures();
    const firsts = new Map(this.#failures.toReversed().map((failure) => [failure.file, failure]));
    for (const failure of [...firsts.values()].reverse()) for (const line of brief(failure)) this.#print(line);
    this.#print(`${this.#passed} passed, ${this.#failed} failed, ${this.#skips.length} skipped`);
    done();
  }

  #read(line: string): void {
    const depth = (/^ */.exec(line)?.[0].length ?? 0) / 4;
    if (this.#yaml !== undefined && line.trim() !== '') {
      if (depth >= this.#yaml) {
        this.#failures.at(-1)?.yaml.push(line);
        if (line.trim() === '...') this.#yaml = undefined;
        return;
      }
      this.#yaml = undefined;
    }
    const subtest = /^ *# Subtest: (.*)$/.exec(line);
    if (subtest) {
      this.#titles.splice(depth, Number.POSITIVE_INFINITY, subtest[1] ?? '');
      this.#closes.add(depth);
      return;
    }
    if (/^ *Bail out!/.test(line)) this.#failures.push({ file: line, title: line.trim(), yaml: [] });
    const [point, , not, name = '', directive, reason, time = '0', unit = 'ms'] = pointPattern.exec(line) ?? [];
    if (point === undefined) return;
    this.#point(depth, {
      ok: !not,
      name,
      seconds: Number(time) * units[unit as keyof typeof units],
      ...(directive && { directive: reason ?? '' }),
    });
  }

  #point(depth: number, point: Point): void {
    const closes = this.#closes.delete(depth);
    this.#titles.splice(depth);
    const path = [...this.#titles, point.name];
    if (point.directive !== undefined) this.#skips.push(`${shown(path)}: ${point.directive}`);
    else if (!closes) this.#count(depth, point.ok, path);
    else if (!point.ok && !this.#isDescribed(path)) this.#describe(depth, path);
    if (path.findIndex(isFile) === depth) {
      this.#files.push(point);
      this.#printFailures();
      this.#print(`${point.ok ? 'ok    ' : 'FAILED'} ${point.seconds.toFixed(1).padStart(5)} s  ${point.name}`);
    }
  }

  #count(depth: number, ok: boolean, path: readonly string[]): void {
    if (ok) this.#passed++;
    else {
      this.#failed++;
      this.#describe(depth, path);
    }
  }

  /** Whether a failure inside already explains this one. */
  #isDescribed(path: readonly string[]): boolean {
    return this.#described.some((other) => other.startsWith(`${path.join(' › ')} › `));
  }

  #describe(depth: number, path: readonly string[]): void {
    this.#described.push(path.join(' › '));
    this.#failures.push({ file: path.find(isFile) ?? '', title: `FAILED ${shown(path)}`, yaml: [] });
    this.#yaml = depth + 0.5;
  }

  #printFailures(): void {
    for (const { title, yaml } of this.#failures.slice(this.#printed))
      for (const line of ['', title, ...yaml]) this.#print(line);
    this.#printed = this.#failures.length;
  }

  #print(line: string): void {
    this.push(`${line}\n`);
  }
}

/** The title of a failure, the line of its assertion, and its diff; without a diff, what else tap knows, except sources and stacks. */
function brief({ title, yaml }: Failure): string[] {
  const indentation = /^ */.exec(yaml[0] ?? '')?.[0].length ?? 0;
  const lines = yaml.slice(1, -1).map((line) => line.slice(indentation));
  const field = (name: string) =>
    new RegExp(`^  ${name}: (.*)`).exec(lines.find((line) => line.startsWith(`  ${name}:`)) ?? '')?.[1];
  const [fileName, lineNumber] = [field('fileName'), field('lineNumber')];
  const sections = lines
    .join('\n')
    .split(/\n(?=\S)/)
    .filter(Boolean);
  const diff = sections.find((section) => section.startsWith('diff:'));
  const others = sections.filter((section) => !/^(at|source|stack|compare):/.test(section));
  const rest = (diff ?? others.join('\n')).split('\n');
  const all = [title, ...(fileName ? [`  ${fileName}:${lineNumber}`] : []), ...rest.map((line) => `  ${line}`)];
  const shortened = all.map((line) => (line.length > BRIEF_WIDTH ? `${line.slice(0, BRIEF_WIDTH)} …` : line).trimEnd());
  return shortened.length > BRIEF_LINES - 1 ? ['', ...shortened.slice(0, BRIEF_LINES - 2), '  …'] : ['', ...shortened];
}
