/** A refused credential is logged with its address, once a minute for each address; the credential is not. */

import t from 'tap';
import { openRefusals } from '../../src/http/refused-credentials.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { settingsIn, startReady } from '../harness/service.ts';

t.test('each kind of request', async (t) => {
  const env = { WEBDIST_TRUST_PROXY: '127.0.0.1', WEBDIST_DEVICE_CREDENTIAL: 'required', WEBDIST_OAUTH: 'own' };
  const { url, log } = await startReady(t, undefined, settingsIn(temporaryFolder(t), env));
  const send = async (address: string, path: string, authorization?: string) => {
    const headers = { 'content-type': 'application/json', 'x-forwarded-for': address };
    const all = authorization === undefined ? headers : { ...headers, authorization };
    return (await fetch(url + path, { method: 'POST', headers: all, body: '{"apps":[]}' })).status;
  };
  const logged = () => log.lines().filter(({ event }) => event === 'credential_refused');
  const cases = [
    ['192.0.2.1', '/install-token', 'Bearer guess-1', 401],
    ['192.0.2.2', '/install-tokens', 'Bearer guess-2', 401],
    ['192.0.2.3', '/installs', 'Basic guess-3', 401],
    ['192.0.2.4', '/marketplace-kit/restore', 'Bearer guess-4', 403],
    ['192.0.2.5', '/oauth/code', 'Bearer guess-5', 401],
  ] as const;
  for (const [address, path, authorization, status] of cases) {
    t.equal(await send(address, path, authorization), status, path);
    t.match(logged().at(-1), { level: 40, address, route: path }, `${path}: logged at warn`);
    t.equal(await send(address, path, authorization), status);
  }
  t.equal(logged().length, cases.length, 'the second refusal of an address is not logged');
  t.equal(await send('192.0.2.6', '/install-token'), 401);
  t.equal(logged().length, cases.length, 'nor is a request without a credential');
  t.notMatch(log.text(), /guess/, 'no credential is logged');
});

t.test('a minute later, the next refusal is logged', async (t) => {
  let nowMs = 0;
  const count = openRefusals(() => nowMs);
  for (const [at, address, expected] of [
    [0, 'a', 1],
    [30_000, 'a', 2],
    [30_000, 'b', 1],
    [60_000, 'a', 1],
    [60_000, 'b', 2],
    [90_000, 'b', 1],
  ] as const) {
    nowMs = at;
    t.equal(count(address, 1).count, expected, `${address} after ${at} ms`);
  }
});
