/** A failure in the background of a backend's library does not end the process; any other background failure does. */

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { runWebdist } from '../harness/process.ts';
import { until } from '../harness/until.ts';

const boundary = pathToFileURL(resolve('src/cloud/boundary.ts')).href;

/**
 * Starts a command that runs this code as soon as it listens. In the code, `forBackend` marks work as done for a backend.
 */
function runWith(t: Test, code: string) {
  const script = `import { forBackend } from '${boundary}';
    import { Server } from 'node:net';
    const { listen } = Server.prototype;
    Server.prototype.listen = function (...args) {
      this.once('listening', () => setTimeout(() => { ${code} }, 50));
      return listen.apply(this, args);
    };`;
  const NODE_OPTIONS = `--import data:text/javascript,${encodeURIComponent(script)}`;
  return runWebdist(t, ['sandbox', '--port', '0'], { NODE_OPTIONS, WEBDIST_DATA_DIR: temporaryFolder(t) });
}

const failures: Record<string, [code: string, kept: RegExp]> = {
  'a rejection that no one handles': [`Promise.reject(new Error('SECRET'))`, /an error without a known code/],
  'an exception in a callback': [`setImmediate(() => { throw new TypeError('SECRET'); })`, /TypeError/],
  'an error event without a listener': [
    `import('node:net').then(({ connect }) => connect(1, '127.0.0.1'))`,
    /ECONNREFUSED/,
  ],
};

for (const [name, [code, kept]] of Object.entries(failures))
  t.test(name, async (t) => {
    const inBackend = runWith(t, `forBackend('gcpkms', () => { ${code}; })`);
    await until(() => /the library of the backend gcpkms failed/.test(inBackend.output()), 'the line about it');
    t.match(inBackend.output(), kept);
    t.notMatch(inBackend.output(), /SECRET|^ {4}at /m, 'no message and no stack');
    t.equal(inBackend.child.exitCode, null, 'it still runs');

    const elsewhere = runWith(t, code);
    t.equal(await elsewhere.exited, 1, 'anywhere else it ends the process');
    t.match(elsewhere.output(), /^webdist: internal error/m);
  });
