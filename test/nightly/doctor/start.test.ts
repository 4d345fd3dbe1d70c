/** A service beside the doctor: what it refuses the doctor reports in the same words; and disks that are full or read-only. */

import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { runDoctor } from '../../../src/doctor/doctor.ts';
import type { Environment } from '../../../src/environment.ts';
import { problems, startInstallation } from '../../doctor/installation.ts';
import { freePort, listen } from '../../harness/port.ts';
import { startProcess, webdist } from '../../harness/process.ts';
import { isReady } from '../../harness/service.ts';
import { noSmallDisk } from '../../harness/small-disk.ts';

async function taken(t: Test): Promise<string> {
  const server = createServer();
  t.teardown(() => void server.close());
  return String(await listen(server));
}

t.test(
  'a running service is not a fault, and the doctor reports what a service refuses in the same words',
  async (t) => {
    const { env, folder } = await startInstallation(t);
    const running = await startProcess(t, {
      ...env,
      WEBDIST_OPERATOR_PORT: String(await freePort()),
    });
    await isReady(running.url);
    t.strictSame(await problems({ ...env, PORT: new URL(running.url).port }), []);
    mkdirSync(join(folder, 'other'));
    writeFileSync(join(folder, 'other', 'file'), '');
    const refused: Readonly<Record<string, Environment>> = {
      settings: { WEBDIST_TOKEN_LIFETIME: '5' },
      listen: { PORT: await taken(t) },
      'audit-file': { WEBDIST_AUDIT: join(folder, 'other', 'file', 'audit') },
      'key-held': { WEBDIST_KEY: 'file:///none.pem' },
    };
    for (const [id, change] of Object.entries(refused)) {
      const { code, stderr } = await webdist(['serve'], { ...env, ...change });
      t.equal(code, 1);
      const found = (await runDoctor({ env: { ...env, ...change } })).find((one) => one.id === id);
      t.equal(found?.result, 'fail', id);
      const said = stderr.replace(/\s+/g, ' ').replace(/, E[A-Z]+\)/, ')');
      // The doctor names the app or lists the problems in one line; the sentence itself is the same.
      const sentence = (found?.found ?? '').replace(/^com\S+: |^.*wrong[^:]*: /, '').replace(/, E[A-Z]+\)/, ')');
      t.ok(said.includes(sentence), `${id}: ${sentence} | ${said}`);
    }
  },
);

type Report = { checks: { id: string; result: string; found: string; hint: string }[] };

t.test('disks', { skip: noSmallDisk }, async (t) => {
  const { env, folder } = await startInstallation(t);
  const disk = join(folder, 'disk');
  mkdirSync(disk);
  const cases: readonly (readonly [mount: string, says: RegExp, fix: RegExp])[] = [
    [
      'mount -t tmpfs -o size=8k tmpfs $0; dd if=/dev/zero of=$0/big 2>/dev/null',
      /the disk is full/,
      /Free some space/,
    ],
    ['mount -t tmpfs -o ro tmpfs $0', /its file system is read-only \(WEBDIST_DATA_DIR/, /Mount it writable/],
  ];
  for (const [mount, says, fix] of cases) {
    const args = [
      '-rm',
      'sh',
      '-c',
      `${mount}; exec "$@"`,
      disk,
      process.execPath,
      '--',
      'src/main.ts',
      'doctor',
      '--json',
    ];
    const doctor = spawn('unshare', args, { env: { PATH: process.env['PATH'], ...env, WEBDIST_DATA_DIR: disk } });
    const { checks } = JSON.parse(await text(doctor.stdout)) as Report;
    const failed = checks.filter(({ result }) => result === 'fail');
    t.match(failed, [{ id: 'data-folder', found: says, hint: fix }]);
    t.equal(failed.length, 1, 'one cause is one failure');
  }
});
