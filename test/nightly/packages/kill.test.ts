/** `kill -9` of a pull at twenty of its steps: it ends with a whole package, and never shows an incomplete one. */

import { readdirSync, watch } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { verifyPackage } from '../../../src/packages/verify.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { runWebdist, webdist } from '../../harness/process.ts';
import { startSandbox } from '../../harness/sandbox.ts';

const APP = '6500000001';
const KILLS = 20;

t.test(`killed ${KILLS} times`, async (t) => {
  const { baseUrl, settings } = await startSandbox(t);
  const dir = temporaryFolder(t);
  const env = {
    ...settings,
    WEBDIST_PACKAGES_DIR: dir,
    WEBDIST_DATA_DIR: temporaryFolder(t),
    WEBDIST_PACKAGES_KEEP: '2',
  };
  const current = join(dir, APP, 'current');
  const control = (path: string, body: object) =>
    fetch(`${baseUrl}/_sandbox/${path}`, { method: 'POST', body: JSON.stringify(body) });
  /** Pulls; kills the process at its nth change of a file or folder. Returns the changes seen, and whether it ended by itself. */
  const pull = async (nth: number) => {
    let changes = 0;
    const watcher = watch(dir, { recursive: true });
    const pulling = runWebdist(t, ['packages', 'pull'], env);
    watcher.on('change', () => {
      if (++changes === nth) pulling.child.kill('SIGKILL');
    });
    const code = await pulling.exited;
    watcher.close();
    if (code !== null) t.equal(code, 0, pulling.output());
    return { changes, hasEnded: code === 0 };
  };

  await control('cdn', { bytesPerSecond: 1_000_000 });
  const { changes } = await pull(Number.POSITIVE_INFINITY);
  t.ok(changes >= KILLS, `a pull makes ${changes} changes`);
  let done = false;
  const watched = (async () => {
    while (!done) {
      const { problems, manifest } = await verifyPackage(current);
      if (problems.length > 0) t.fail(`half a package of ${manifest?.appleVersionId}: ${problems[0]?.path}`);
      await delay(20);
    }
  })();
  await control('packages', {});
  const step = Math.floor(changes / KILLS);
  for (let kill = 0, nth = 1; kill < KILLS; nth = 1 + ((nth + step) % changes))
    if ((await pull(nth)).hasEnded) await control('packages', {});
    else kill++;
  await control('cdn', { bytesPerSecond: null });
  const { code, stdout } = await webdist(['packages', 'pull'], env);
  t.equal(code, 0);
  const [, newest] = /(\d{10}) {2}(?:pulled and checked, current|was here already)/.exec(stdout) ?? [];
  done = true;
  await watched;
  const { problems, manifest } = await verifyPackage(current);
  t.strictSame(problems, []);
  t.equal(manifest?.appleVersionId, newest);
  t.equal(readdirSync(join(dir, APP, 'versions')).length, 4, 'two links, two packages, no leftovers');
});
