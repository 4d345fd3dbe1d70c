/** A pull is killed (`kill -9`) repeatedly: in the end the package is complete, and no reader ever sees half of it. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { readManifestFile } from '../../../src/packages/manifest.ts';
import { verifyPackage } from '../../../src/packages/verify.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { runWebdist, webdist } from '../../harness/process.ts';
import { startSandbox } from '../../harness/sandbox.ts';

const APP = '6500000001';
const KILLS = 20;

t.test(`killed at random ${KILLS} times`, async (t) => {
  const { baseUrl, settings } = await startSandbox(t);
  const dir = temporaryFolder(t);
  const env = { ...settings, WEBDIST_PACKAGES_DIR: dir, WEBDIST_DATA_DIR: temporaryFolder(t) };
  const current = join(dir, APP, 'current');
  const slow = (bytesPerSecond: number | null) =>
    fetch(`${baseUrl}/_sandbox/cdn`, { method: 'POST', body: JSON.stringify({ bytesPerSecond }) });
  await webdist(['packages', 'pull'], env);
  await fetch(`${baseUrl}/_sandbox/packages`, { method: 'POST' });
  await slow(400_000);
  let done = false;
  const watched = (async () => {
    while (!done) {
      const { problems, manifest } = await verifyPackage(current);
      if (problems.length > 0) t.fail(`half a package of ${manifest?.appleVersionId}: ${problems[0]?.path}`);
      await delay(20);
    }
  })();
  for (let kills = 0; kills < KILLS; kills++) {
    const pulling = runWebdist(t, ['packages', 'pull'], env);
    // Any moment will do, because the rule must always hold.
    await delay(100 + Math.random() * 900);
    await pulling.end('SIGKILL');
  }
  await slow(null);
  t.match(await webdist(['packages', 'pull'], env), { code: 0, stdout: /2000000057/ });
  done = true;
  await watched;
  t.equal((await readManifestFile(join(current, 'manifest.json'))).appleVersionId, '2000000057');
  t.strictSame((await verifyPackage(current)).problems, []);
  t.equal(readdirSync(join(dir, APP, 'versions')).length, 4, 'no leftovers');
});
