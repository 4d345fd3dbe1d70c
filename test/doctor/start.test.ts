/** What stops a service from starting, or a device from reaching it: the doctor names it once, in the words of the service. */

import { rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runDoctor } from '../../src/doctor/doctor.ts';
import type { Environment } from '../../src/environment.ts';
import { listen } from '../harness/port.ts';
import { problems, startInstallation } from './installation.ts';

async function taken(t: Test): Promise<string> {
  const server = createServer();
  t.teardown(() => void server.close());
  return String(await listen(server));
}

t.test('faults that stop a start, or devices', async (t) => {
  const { env, folder } = await startInstallation(t);
  const file = join(folder, 'a-file');
  writeFileSync(file, '');
  const port = await taken(t);
  const status = createHttpServer((_, response) => void response.writeHead(404).end());
  const dead = `http://127.0.0.1:${await listen(status)}`;
  t.teardown(() => void status.close());
  const { WEBDIST_PACKAGE_URL: _, ...pulled } = env;
  const own = { WEBDIST_OAUTH: 'own' };
  const cases: readonly (readonly [expected: string, says: RegExp, env: Environment])[] = [
    ['fail listen', /^PORT: cannot listen on 127\.0\.0\.1 port \d+ \(EADDRINUSE\)/, { ...env, PORT: port }],
    ['fail listen', /^HOST: cannot listen on 203\.0\.113\.9/, { ...env, HOST: '203.0.113.9' }],
    ['fail listen', /^HOST: cannot listen on 2001:db8::9/, { ...env, HOST: '2001:db8::9' }],
    ['fail listen', /^WEBDIST_OPERATOR_PORT: cannot listen/, { ...env, WEBDIST_OPERATOR_PORT: port }],
    [
      'fail audit-file',
      /a part of the path is not a folder \(WEBDIST_AUDIT/,
      { ...env, WEBDIST_AUDIT: `${file}/audit` },
    ],
    ['fail audit-file', /cannot be used.* \(WEBDIST_AUDIT/, { ...env, WEBDIST_AUDIT: folder }],
    ['fail data-folder', /not a folder \(WEBDIST_DATA_DIR/, { ...env, WEBDIST_DATA_DIR: join(file, 'data') }],
    ['fail data-folder', /not a folder \(WEBDIST_DATA_DIR/, { ...env, WEBDIST_DATA_DIR: file }],
    ['fail ledger', /not a folder \(WEBDIST_LEDGER/, { ...env, WEBDIST_LEDGER: `sqlite://${file}/ledger.sqlite` }],
    ['warn public-url', /is on example\.org/, { ...env, WEBDIST_PUBLIC_URL: 'https://example.org/webdist' }],
    ['warn public-url', /is on notexample\.com/, { ...env, WEBDIST_PUBLIC_URL: 'https://notexample.com' }],
    ['fail login-page', /LOGIN_URL: .* answers 404/, { ...env, ...own, WEBDIST_OAUTH_LOGIN_URL: `${dead}/login` }],
    ['fail login-page', /ECONNREFUSED/, { ...env, ...own, WEBDIST_OAUTH_LOGIN_URL: 'http://127.0.0.1:1/login' }],
    ['warn login-page', /no login page/, { ...env, ...own, WEBDIST_DEVICE_CREDENTIAL: 'required' }],
    ['fail packages-url', /PACKAGES_URL: .* answers 404/, { ...pulled, WEBDIST_PACKAGES_URL: dead }],
    ['fail packages-url', /ECONNREFUSED/, { ...pulled, WEBDIST_PACKAGES_URL: 'http://127.0.0.1:1/adp' }],
  ];
  for (const [expected, says, broken] of cases) {
    const found = (await runDoctor({ env: broken })).filter(({ result }) => result === 'warn' || result === 'fail');
    const names = found.map(({ result, id }) => `${result} ${id}`);
    // http on loopback is for tests only. A device refuses it, which another check reports.
    t.strictSame(
      names.filter((name) => !(expected.endsWith('packages-url') && name.endsWith('package-host'))),
      [expected],
    );
    t.match(found.find(({ id }) => expected.endsWith(id))?.found, says, expected);
  }
  const orders = join(env['WEBDIST_DATA_DIR'] ?? '', 'orders.json');
  for (const text of ['garbage', '{"revision":"x"}', '']) {
    writeFileSync(orders, text);
    t.strictSame(await problems(env), ['fail orders'], text);
  }
  rmSync(orders);
});
