/**
 * A fuzzer guided by V8's own block coverage, so that it needs no instrumentation: an input that reaches a new block is
 * kept and mutated further. `npm run fuzz -- TARGET [SECONDS]`; `all` takes every target in turn. At the first input
 * that breaks a rule of rules.ts, prints it in base64 and exits with code 1.
 */

import { randomInt } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { check, type Figures, noFigures } from '../../fuzz/rules.ts';
import { SECRET, type Target, targets } from '../../fuzz/targets.ts';
import { reached } from './coverage.ts';

/** An input that broke a rule, and how. */
type Finding = { readonly input: Buffer; readonly error: unknown };
type Fuzzed = Figures & { readonly blocks: number; readonly kept: number; readonly finding?: Finding };

/** Mutates inputs until `isOver`, which is called before each one, returns true, or until one breaks a rule. */
export async function fuzz(target: Target, isOver: (inputs: number) => boolean): Promise<Fuzzed> {
  const seen = new Set<string>();
  const figures = noFigures();
  const corpus: Buffer[] = [];
  const given = () => ({ ...figures, blocks: seen.size, kept: corpus.length });
  const seeds = target.seeds.map((seed) => Buffer.from(seed));
  reached();
  while (seeds.length > 0 || !isOver(figures.inputs)) {
    const seed = seeds.shift();
    const input = seed ?? mutated(corpus);
    try {
      await check(target, input, figures);
    } catch (error) {
      return { ...given(), finding: { input, error } };
    }
    const before = seen.size;
    for (const block of reached()) seen.add(block);
    if (seed || seen.size > before) corpus.push(input);
  }
  return given();
}

/** Typical troublemakers for parsers, of the same kinds as in the fuzz tests. */
const pieces = [
  ...['\r\n', '\n', '\0', '\ufeff', '"', '%', '%00', '../', '-', '=', ';', '&', '#', '.', '..', ':', '//', '{', '}'],
  ...['null', '{}', '[]', '-0', '1e999', '18446744073709551616', '__proto__', 'true', SECRET, '['.repeat(500)],
].map((piece) => Buffer.from(piece));

/** One of the kept inputs, more often a new one, with one to four mutations. */
function mutated(corpus: readonly Buffer[]): Buffer {
  const newest = randomInt(2) === 0 ? Math.max(0, corpus.length - 8) : 0;
  let bytes = one(corpus.slice(newest));
  for (let changes = 1 + randomInt(4); changes > 0; changes--) bytes = one(mutations)(bytes, corpus);
  return bytes;
}

const one = <T>(some: readonly T[]): T => some[randomInt(some.length)] as T;

/** Replaces `length` bytes with others. */
const spliced = (bytes: Buffer, at: number, length: number, by: Uint8Array) =>
  Buffer.concat([bytes.subarray(0, at), by, bytes.subarray(at + length)]);

const somewhere = (bytes: Buffer) => randomInt(bytes.length + 1);
const cut = (bytes: Buffer) => {
  const at = somewhere(bytes);
  return bytes.subarray(at, at + 1 + randomInt(32));
};

const mutations: readonly ((bytes: Buffer, corpus: readonly Buffer[]) => Buffer)[] = [
  (bytes) => spliced(bytes, somewhere(bytes), 1, Buffer.of(randomInt(256))),
  (bytes) => spliced(bytes, somewhere(bytes), 0, one(pieces)),
  (bytes) => spliced(bytes, somewhere(bytes), 1 + randomInt(16), one(pieces)),
  (bytes) => spliced(bytes, somewhere(bytes), 1 + randomInt(16), Buffer.alloc(0)),
  (bytes) => spliced(bytes, somewhere(bytes), 0, cut(bytes)),
  (bytes, corpus) => spliced(bytes, somewhere(bytes), randomInt(16), cut(one(corpus))),
  (bytes, corpus) => {
    const other = one(corpus);
    return Buffer.concat([bytes.subarray(0, somewhere(bytes)), other.subarray(somewhere(other))]);
  },
];

/** Runs the targets named on the command line, and reports the result of each. */
async function main([name = '', seconds = '10']: readonly string[]): Promise<void> {
  const chosen = name === 'all' ? Object.entries(targets) : Object.entries(targets).filter(([key]) => key === name);
  if (chosen.length === 0) throw new Error(`expected all, or one of: ${Object.keys(targets).join(', ')}`);
  for (const [key, target] of chosen) {
    const endAt = performance.now() + Number(seconds) * 1000;
    const { finding, ...figures } = await fuzz(target, () => performance.now() > endAt);
    console.log(JSON.stringify({ target: key, ...figures }));
    if (!finding) continue;
    console.log(finding.error, `\ninput: ${finding.input.toString('base64')}`);
    process.exitCode = 1;
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main(process.argv.slice(2));
