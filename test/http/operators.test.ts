/** The operator port takes metrics, health with its body and the documents of the API off the public one (docs/http-api.md). */

import t from 'tap';
import { buildServer } from '../../src/http/server.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { settingsIn, startReady, startService } from '../harness/service.ts';

const DOCUMENTS = ['/metrics', '/docs', '/openapi.json'];
const HEALTH = ['/health/live', '/health/ready', '/health/startup', '/livez', '/readyz', '/startupz'];

t.test('with an operator port', async (t) => {
  const settings = settingsIn(temporaryFolder(t), { WEBDIST_OPERATOR_PORT: '0', WEBDIST_OPERATOR_HOST: '127.0.0.1' });
  const { url, operators, serverDeps, drain } = await startReady(t, undefined, settings);
  const operatorUrl = (await operators?.listen({ host: '127.0.0.1', port: 0 })) ?? '';
  t.strictSame(serverDeps.config.operator, { host: '127.0.0.1', port: 0 });
  for (const path of DOCUMENTS) {
    t.equal((await fetch(url + path)).status, 404, `${path} on the public port`);
    t.equal((await fetch(operatorUrl + path)).status, 200, `${path} on the operator port`);
  }
  for (const path of HEALTH) {
    const open = await fetch(url + path);
    t.strictSame([open.status, await open.text()], [200, ''], `${path} on the public port`);
    t.equal(open.headers.get('cache-control'), 'no-store');
    t.match(
      await (await fetch(operatorUrl + path)).json(),
      path.includes('ready') ? { ready: true } : path.includes('startup') ? { started: true } : { live: true },
    );
    t.equal(await (await fetch(`${url + path}?verbose`)).text(), '', `${path}?verbose says nothing on the public port`);
    for (const off of ['no', 'false', '0'])
      t.match((await fetch(`${operatorUrl + path}?verbose=${off}`)).headers.get('content-type'), /json/, off);
    const verbose = await fetch(`${operatorUrl + path}?verbose`);
    t.match(verbose.headers.get('content-type'), /^text\/plain/);
    t.match(
      await verbose.text(),
      new RegExp(`^(\\[\\+\\].+ (ok|off).*\\n)*${path.match(/live|ready|startup/)}z check passed\\n$`),
      path,
    );
  }
  for (const path of ['/install-token', '/marketplace-kit/restore', '/install-button.js', '/.well-known/jwks.json'])
    t.equal((await fetch(operatorUrl + path)).status, 404, `${path} is not on the operator port`);
  const { paths } = (await (await fetch(`${operatorUrl}/openapi.json`)).json()) as { paths: object };
  for (const path of ['/install-token', '/metrics', '/health/ready']) t.ok(path in paths, `${path} is described`);
  drain();
  t.equal((await fetch(`${url}/health/ready`)).status, 503, 'while shutting down');
  t.match(await (await fetch(`${operatorUrl}/readyz?verbose`)).text(), /\nreadyz check failed\n$/);
  t.equal((await fetch(`${url}/startupz`)).status, 200, 'it has started all the same');
});

t.test('without one, the public port has everything, and WEBDIST_DOCS=off removes the documents', async (t) => {
  const { url, operators, serverDeps } = await startReady(t, undefined, settingsIn(temporaryFolder(t)));
  t.equal(operators, undefined);
  for (const path of [...DOCUMENTS, ...HEALTH]) t.equal((await fetch(url + path)).status, 200, path);
  t.match(await (await fetch(`${url}/health/ready`)).json(), { ready: true });
  const { app } = await buildServer({ ...serverDeps, config: { ...serverDeps.config, docs: false } });
  t.teardown(() => app.close());
  for (const url of ['/docs', '/openapi.json']) t.equal((await app.inject({ url })).statusCode, 404, url);
  t.equal((await app.inject({ url: '/metrics' })).statusCode, 200);
});

t.test('settings', async (t) => {
  const { serverDeps } = await startService(
    t,
    undefined,
    settingsIn(temporaryFolder(t), { WEBDIST_OPERATOR_PORT: '9000', HOST: '127.0.0.2' }),
  );
  t.strictSame(serverDeps.config.operator, { host: '127.0.0.2', port: 9000 }, 'HOST is the default');
});
