/** The report of failures: whole after their file, and in brief right before the totals, where a log that was cut still shows them. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { temporaryFolder } from './folder.ts';
import Report from './reporter.ts';

/** The report on real test files, by name. */
async function reportOn(t: Test, files: Readonly<Record<string, string>>): Promise<string> {
  const folder = temporaryFolder(t);
  const paths = Object.entries(files).map(([name, body]) => {
    writeFileSync(join(folder, name), `import t from 'tap';\n${body}\n`);
    return join(folder, name);
  });
  const script = `import { runFiles } from './test/harness/one-process.ts'; runFiles(${JSON.stringify(paths)})`;
  const { stdout } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
    env: { PATH: process.env['PATH'] },
    encoding: 'utf8',
  });
  const report = new Report();
  report.end(stdout);
  return (await text(report)).replaceAll(`${folder}/`, '');
}

const kinds: Readonly<Record<string, readonly [body: string, expected: readonly RegExp[]]>> = {
  'a-diff.test.ts': [
    "t.test('outer', (t) => t.test('inner', async (t) => { t.equal(1, 2, 'first'); t.equal(3, 4, 'second'); }));",
    [/^FAILED a-diff\.test\.ts › outer › inner › first\n/, /\n {2}.*a-diff\.test\.ts:2\n/, /\n +-2\n +\+1\n/],
  ],
  'b-error.test.ts': [
    "t.test('throws', async () => { throw Object.assign(new Error('broken'), { code: 'EBROKEN' }); });",
    [/^FAILED b-error\.test\.ts › throws › broken\n/, /b-error\.test\.ts:2\n/, /\n {2}code: EBROKEN\n/],
  ],
  'c-passes.test.ts': ["t.skip('s'); t.pass('fine');", []],
  'd-timeout.test.ts': [
    "t.test('hangs', async (t) => { t.setTimeout(1); await new Promise((done) => setTimeout(done, 100)); });",
    [/^FAILED d-timeout\.test\.ts › hangs › timeout!\n/, /\n {2}expired: hangs\n/],
  ],
  'e-load.test.ts': ["throw new TypeError('unloadable');", [/^FAILED e-load\.test\.ts › .*unloadable\n/]],
  'f-long.test.ts': [
    "t.strictSame(Array(100).fill('x'.repeat(1000)), Array(100).fill('y'.repeat(1000)), 'many');",
    [/^FAILED f-long\.test\.ts › many\n/, /\n {2}diff: \|\n/, /y{200}y* …\n/, /\n {2}…\n/],
  ],
};

t.test('failures of every kind', async (t) => {
  const report = await reportOn(t, Object.fromEntries(Object.entries(kinds).map(([name, [body]]) => [name, body])));
  const [before = '', end = ''] = report.split(/^slowest: .*\n/m);
  t.match(before, /^skipped: c-passes\.test\.ts › s/m);
  t.equal(before.match(/^FAILED a-diff\.test\.ts › .* › second$/gm)?.length, 1, 'every failure is printed whole');
  const [, ...briefs] = end.split(/^(?=FAILED )/m);
  const failed = Object.entries(kinds).filter(([, [, expected]]) => expected.length > 0);
  t.equal(briefs.length, failed.length, `one entry for each failed file, in their order\n${end}`);
  for (const [index, [name, [, expected]]] of failed.entries()) {
    const brief = briefs[index] ?? '';
    for (const pattern of expected) t.match(brief, pattern, `${name}: ${pattern}`);
    t.ok(
      brief
        .replace(/^\d+ passed.*/m, '')
        .trimEnd()
        .split('\n').length <= 15,
      `${name}: at most 15 lines`,
    );
    const whole = before.slice(before.indexOf(`\nFAILED ${name}`), before.search(`\nFAILED .* s {2}.*${name}`));
    t.match(whole, /^ +---$.*^ +\.\.\.$/ms, `${name}: the whole failure is before the line of its file`);
  }
  t.match(end, /\n1 passed, \d failed, 1 skipped\n$/);
});
