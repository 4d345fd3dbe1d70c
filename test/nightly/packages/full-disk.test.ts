/** A disk that becomes full during a pull: a real one of 400 kB, in its own mount namespace. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { startSandbox } from '../../harness/sandbox.ts';
import { noSmallDisk, openSmallDisk } from '../../harness/small-disk.ts';
import { until } from '../../harness/until.ts';

/** A package has 287 kB: there is space for one, but not for two. */
const DISK_BYTES = '400000';

t.test(
  'the old version is still served; with free space again, the pull continues',
  { skip: noSmallDisk },
  async (t) => {
    const { baseUrl, settings } = await startSandbox(t);
    const disk = await openSmallDisk(t, DISK_BYTES);
    const env = {
      PATH: process.env['PATH'],
      ...settings,
      WEBDIST_PACKAGES_DIR: disk.folder,
      WEBDIST_DATA_DIR: temporaryFolder(t),
    };
    const inside = (...command: string[]) => {
      const [program, ...args] = disk.inside(...command);
      return spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    };
    const webdist = (...args: string[]) => inside(process.execPath, '--', 'src/main.ts', 'packages', ...args);
    const run = async (...args: string[]) => {
      const child = webdist(...args);
      const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'close')]);
      return { code: child.exitCode, output: stdout + stderr };
    };

    t.match(await run('pull'), { code: 0, output: /2000000042 {2}pulled and checked, current/ });
    const server = webdist('serve', '--port', '0');
    t.teardown(() => server.kill('SIGKILL'));
    let output = '';
    server.stderr.on('data', (part) => (output += part));
    const url = await until(() => / on (\S+)\. Put/.exec(output)?.[1], 'a server of packages');
    const served = async () => {
      const answer = await fetch(`${url}/6500000001/current/manifest.json`);
      return ((await answer.json()) as { appleVersionId: string }).appleVersionId;
    };
    t.equal(await served(), '2000000042');

    await fetch(`${baseUrl}/_sandbox/packages`, { method: 'POST' });
    const full = /The disk of the packages folder is full\. The earlier versions are unchanged\. .*Free some space/;
    t.match(await run('pull'), { code: 1, output: full });
    t.equal(await served(), '2000000042');
    t.match(await run('verify'), { code: 0, output: /ok .*2000000042/ });

    disk.resize('4000000');
    t.match(await run('pull'), { code: 0, output: /2000000057 {2}pulled and checked, current/ });
    t.equal(await served(), '2000000057');
    t.match(await run('verify'), { code: 0, output: /ok .*2000000042[\s\S]*ok .*2000000057/ });
  },
);
