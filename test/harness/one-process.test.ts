/** Test files that share a process: each keeps its own teardown, and one that fails is named. */

import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { temporaryFolder } from './folder.ts';

t.test('four files in one process', async (t) => {
  const folder = temporaryFolder(t);
  const files = {
    'a-passes.test.ts':
      "t.jobs = 2; t.teardown(() => console.log('# closed')); await t.test('a test', async (t) => t.pass('a check'));",
    'b-throws.test.ts': "throw new Error('while it loads');",
    'c-fails.test.ts': "t.test('another test', async (t) => t.equal(1, 2));",
    'd-exits.test.ts': "t.test('the last test', () => process.exit(0));",
  };
  const paths = Object.entries(files).map(([name, text]) => {
    writeFileSync(join(folder, name), `import t from 'tap';\n${text}\n`);
    return join(folder, name);
  });
  const script = `import { runFiles } from './test/harness/one-process.ts'; runFiles(${JSON.stringify(paths)})`;
  const { status, stdout } = spawnSync(process.execPath, ['--input-type=module-typescript', '-e', script], {
    env: { PATH: process.env['PATH'] },
    encoding: 'utf8',
  });
  t.equal(status, 1);
  const points = [...stdout.matchAll(/^(not ok|ok) \d+ - .*\/(.*?)(?: # time=.*)?$/gm)].map(
    ([, ok, file]) => `${ok} ${file}`,
  );
  t.strictSame(
    points,
    ['ok a-passes.test.ts', 'not ok b-throws.test.ts', 'not ok c-fails.test.ts', 'not ok d-exits.test.ts'],
    stdout,
  );
  t.match(stdout, /# closed\n.*# Subtest: .*b-throws/s, 'a teardown comes before the next file');
  t.match(stdout, /while it loads/);
});
