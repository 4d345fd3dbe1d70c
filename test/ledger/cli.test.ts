/**
 * `webdist ledger`: the requests that a person may make about its data, from the command line, while the service runs.
 */

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { join, resolve } from 'node:path';
import t from 'tap';
import { post } from '../harness/http.ts';
import { settingsIn, startService } from '../harness/service.ts';

t.test('export, forget and stats', async (test) => {
  const folder = test.testdir();
  const env = settingsIn(folder);
  const key = 'key-of-the-licence-server';
  const apiKeys = `licence:${createHash('sha256').update(key).digest('hex')}`;
  const service = await startService(test, undefined, { ...env, WEBDIST_API_KEYS: apiKeys });
  const webdist = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--', resolve('src/main.ts'), 'ledger', ...args], {
      env: { PATH: process.env['PATH'], WEBDIST_DATA_DIR: join(folder, 'data') },
      encoding: 'utf8',
    });
    return { status, stdout, stderr, json: () => JSON.parse(stdout) };
  };
  const { cookie = '', body } = await post(`${service.url}/install-token`, {});
  test.strictSame(
    webdist('stats', '--json').json(),
    { installs: 0 },
    'a visitor who only views the page leaves nothing',
  );
  await post(`${service.url}/installs`, { nonce: body['nonce'] }, { cookie });
  const device = cookie.split('=')[1] ?? '';

  test.strictSame(webdist('stats', '--json').json(), { installs: 1 });
  test.equal(webdist('stats').stdout, 'installs  1\n');
  const exported = webdist('export', device, '--device', '--json').json();
  test.match(exported, {
    subject: /^[0-9a-f]{12}$/,
    installs: [{ appleItemId: '6500000001' }],
  });
  test.notOk(JSON.stringify(exported).includes(device.split('.')[0] ?? ''), 'the id itself is nowhere');
  test.match(webdist('export', device, '--device').stdout, /^install {2}6500000001 {2}2\d{3}-.*Z$/m);
  test.strictSame(webdist('export', device, '--json').json().installs, [], "a caller's id is not a device's");
  test.strictSame(webdist('forget', device, '--device', '--json').json(), { forgottenInstalls: 1 });
  test.strictSame(webdist('stats', '--json').json(), { installs: 0 });
  await post(`${service.url}/installs`, { device: 'an.id.with.dots' }, { authorization: `Bearer ${key}` });
  test.strictSame(
    webdist('forget', 'an.id.with.dots', '--device', '--json').json(),
    { forgottenInstalls: 1 },
    'the id that a server sent as device',
  );
  test.equal(webdist('export').status, 2, 'no subject is wrong usage');
  const elsewhere = spawnSync(process.execPath, ['--', resolve('src/main.ts'), 'ledger', 'forget', 'x'], {
    env: { PATH: process.env['PATH'], WEBDIST_DATA_DIR: join(folder, 'elsewhere') },
    encoding: 'utf8',
  });
  test.equal(elsewhere.status, 1);
  test.match(elsewhere.stderr, /There is no ledger at .*WEBDIST_DATA_DIR/);
});
