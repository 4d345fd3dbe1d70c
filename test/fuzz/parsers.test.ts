/**
 * For any input, a parser quickly returns, or throws an error that its caller expects, and reveals no secret: see
 * rules.ts. `npm run test:nightly` makes more of them.
 */

import fc from 'fast-check';
import t from 'tap';
import { check, noFigures } from './rules.ts';
import { SECRET, type Target, targets } from './targets.ts';

const numRuns = Number(process.env['FUZZ_RUNS'] ?? 50);

/**
 * Typical troublemakers for parsers: line ends and terminators, special values of JSON and JavaScript, long and deeply
 * nested input.
 */
const pieces = [
  ...['', '\r\n', '\0', '\ufeff', '\ud800', '"', '%', '%00', '../', '-', '=', ';', '&', '#', '.', '..', '\\n'],
  ...['null', '{}', '[]', '-0', '1e999', '18446744073709551616', '__proto__', 'constructor', 'true', SECRET],
  ...['A'.repeat(5000), '['.repeat(3000), '{"a":'.repeat(1000), '&a [*a,*a]', '<<: *a', '1'.repeat(400)],
];
const piece = fc.oneof(fc.constantFrom(...pieces), fc.string(), fc.uint8Array({ maxLength: 8 }));

/** A valid input with a few pieces replaced by others. */
const damaged = (seed: string | Uint8Array) =>
  fc
    .array(fc.tuple(fc.nat(seed.length), fc.nat(40), piece), { minLength: 1, maxLength: 3 })
    .map((changes) =>
      changes.reduce(
        (bytes, [at, length, by]) =>
          Buffer.concat([bytes.subarray(0, at), Buffer.from(by), bytes.subarray(at + length)]),
        Buffer.from(seed),
      ),
    );

const jsonPart = fc.jsonValue().map((value) => Buffer.from(JSON.stringify(value)).toString('base64url'));
/** Arbitrary JSON in the parts of a compact JWS or JWE. */
const token = fc
  .array(fc.oneof(jsonPart, fc.base64String()), { minLength: 1, maxLength: 6 })
  .map((all) => all.join('.'));

const anything = fc
  .oneof(fc.string(), fc.string({ unit: 'binary' }), fc.base64String(), fc.json(), token, fc.webUrl(), fc.uint8Array())
  .map((value) => Buffer.from(value));

const inputsOf = ({ seeds }: Target) => fc.oneof(anything, { arbitrary: fc.oneof(...seeds.map(damaged)), weight: 3 });

for (const [name, target] of Object.entries(targets))
  t.test(name, async (t) => {
    const good = noFigures();
    await check(target, Buffer.from(target.seeds[0] ?? ''), good);
    t.equal(good.refused, 0, 'the first seed is good');
    const figures = noFigures();
    await fc.assert(
      fc.asyncProperty(inputsOf(target), (input) => check(target, input, figures)),
      { numRuns },
    );
    t.ok(figures.inputs >= numRuns, `${figures.inputs} inputs`);
    t.comment(JSON.stringify({ target: name, ...figures }));
  });

t.test('an ambiguous YAML file is not shown on stderr', async (t) => {
  const warnings: Error[] = [];
  const note = (warning: Error) => void warnings.push(warning);
  process.on('warning', note);
  t.teardown(() => process.off('warning', note));
  const input = Buffer.from('a: &a: x\nb: *a: y\n');
  await check(targets['config-files'] as Target, input);
  await new Promise(setImmediate);
  t.strictSame(
    warnings.filter(({ name }) => name === 'YAMLWarning'),
    [],
  );
});
