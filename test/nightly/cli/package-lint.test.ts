/** Both npm packages as publint and arethetypeswrong see them: `files`, `exports`, `bin` and types. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { builtPackage, pack } from '../../harness/package.ts';

/** The packages are ES modules only: `require` from CommonJS, and TypeScript's resolution of Node.js 10, are not supported. */
const UNSUPPORTED = ['node10', 'node16-cjs'];

for (const [name, folder] of Object.entries({ webdist: '.', 'webdist-button': 'dist/button-package' }))
  t.test(name, async (t) => {
    const into = temporaryFolder(t);
    const { filename } = pack(join(await builtPackage(), folder), into);
    const tarball = new Uint8Array(readFileSync(join(into, filename)));

    const { messages, pkg } = await publint({ pack: { tarball: tarball.buffer } });
    t.strictSame(
      messages.map((message) => formatMessage(message, pkg)),
      [],
      'publint',
    );
    const result = await checkPackage(createPackageFromTarballData(tarball));
    const problems = result.types ? result.problems : [];
    t.strictSame(
      problems.filter((one) => !('resolutionKind' in one && UNSUPPORTED.includes(one.resolutionKind))),
      [],
      'arethetypeswrong',
    );
    t.equal(result.types !== false, name === 'webdist-button', 'only the button has types: webdist is a command');
  });
