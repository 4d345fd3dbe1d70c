/** Runs test files in one process, one after another: starting Node.js, tap and the service for each of them takes half a second of CPU. */

import { registerHooks } from 'node:module';
import { join, resolve } from 'node:path';
import tap, { type Test } from 'tap';

let t: Test = tap;

/** What `import t from 'tap'` means in these files: the file's own subtest. A live binding, because files share this module. */
export { t as default };

/** Each file becomes a subtest with its name. Its teardowns, its timeout and its `t.jobs` end with it. */
export function runFiles(files: readonly string[]): void {
  registerHooks({
    resolve: (specifier, context, next) =>
      specifier === 'tap' ? { url: import.meta.url, shortCircuit: true } : next(specifier, context),
  });
  const { timeout } = tap.options;
  tap.setTimeout(0);
  for (const file of files.toSorted())
    tap.test(file, { ...(timeout && { timeout }) }, async (fileTest) => {
      t = fileTest;
      t.testdirName = join('.tap/fixtures', file.replaceAll('/', '-'));
      await import(resolve(file));
    });
}
