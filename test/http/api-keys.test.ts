/** API keys of servers: their apps, limit and end, and that a change to their file is in force within a second. */

import { createHash } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { freePort } from '../harness/port.ts';
import { runWebdist, webdist, webdistJson } from '../harness/process.ts';
import { settingsIn, startReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';

const sha256 = (key: string) => createHash('sha256').update(key).digest('hex');

async function ask(url: string, key: string, body: object = {}, path = '/install-token') {
  const answer = await fetch(url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${key}` },
    body: JSON.stringify(body),
  });
  return { status: answer.status, body: (await answer.json()) as { code?: string; results?: { code?: string }[] } };
}

/** Settings with the apps a and b, and these API keys, in the file of WEBDIST_CONFIG. */
function settingsWithKeys(t: Test, apiKeys: object[]) {
  const folder = temporaryFolder(t);
  const { WEBDIST_APPLE_ITEM_ID, WEBDIST_BUNDLE_ID, WEBDIST_DOMAIN, WEBDIST_KEY, WEBDIST_KEY_ID, ...others } =
    settingsIn(folder);
  const file = join(folder, 'webdist.json');
  const apps = ['a', 'b'].map((name, index) => ({
    bundleId: `com.example.${name}`,
    appleItemId: `650000000${index + 1}`,
    key: WEBDIST_KEY,
    keyId: WEBDIST_KEY_ID,
  }));
  const write = (keys: object[] | string) => {
    const text = typeof keys === 'string' ? keys : JSON.stringify({ domain: WEBDIST_DOMAIN, apps, apiKeys: keys });
    replace(file, text);
  };
  write(apiKeys);
  return { settings: { ...others, WEBDIST_CONFIG: file }, write };
}

/** Replaces a file as a whole, so that a service never reads an empty or incomplete one. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.next`, text);
  renameSync(`${file}.next`, file);
}

t.test('a key can be for some apps only', async (t) => {
  const { settings } = settingsWithKeys(t, [
    { name: 'all', sha256: sha256('key-all') },
    { name: 'one', sha256: sha256('key-one'), apps: ['com.example.a'] },
    { name: 'id', sha256: sha256('key-id'), apps: ['6500000002'] },
    { name: 'ended', sha256: sha256('key-ended'), until: '2020-12-31' },
    { name: 'few', sha256: sha256('key-few'), tokensPerMinute: 2 },
  ]);
  const { url } = await startReady(t, undefined, settings);
  const [a, b] = [{ app: 'com.example.a' }, { app: 'com.example.b' }];
  for (const [key, body, status] of [
    ['key-all', a, 200],
    ['key-all', b, 200],
    ['key-one', a, 200],
    ['key-one', { app: '6500000001' }, 200],
    ['key-one', b, 403],
    ['key-id', b, 200],
    ['key-id', a, 403],
    ['key-ended', a, 401],
    ['key-none', a, 401],
    ['key-few', a, 200],
    ['key-few', b, 200],
    ['key-few', b, 429],
  ] as const)
    t.equal((await ask(url, key, body)).status, status, `${key} ${JSON.stringify(body)}`);
  const { body } = await ask(url, 'key-one', { requests: [a, b] }, '/install-tokens');
  t.strictSame(
    body.results?.map(({ code }) => code),
    [undefined, 'forbidden'],
    'in a batch, too',
  );
});

t.test('problems with keys in the file are reported with their place', async (t) => {
  for (const [key, message] of [
    [{ name: 'x y', sha256: sha256('x') }, /apiKeys\[0\]\.name: expected letters/],
    [{ name: 'x', sha256: 'secret' }, /apiKeys\[0\]\.sha256: expected the SHA-256/],
    [{ name: 'x', sha256: sha256('x'), until: '2027-02-30' }, /apiKeys\[0\]\.until: expected a date/],
    [{ name: 'x', sha256: sha256('x'), tokensPerMinute: 0 }, /tokensPerMinute: expected a whole number/],
    [
      { name: 'x', sha256: sha256('x'), apps: ['com.example.z'] },
      /the key x is for "com\.example\.z", which is not one of the apps/,
    ],
    [{ name: 'x', sha256: sha256('x'), expires: 'never' }, /apiKeys\[0\]/],
  ] as const) {
    const { settings } = settingsWithKeys(t, [key]);
    t.match(await webdist(['config', 'check'], settings), { code: 1, stderr: message });
  }
  const { settings } = settingsWithKeys(t, [{ name: 'x', sha256: sha256('x') }]);
  t.match(await webdist(['config', 'check'], { ...settings, WEBDIST_API_KEYS: `y:${sha256('y')}` }), {
    code: 1,
    stderr: /WEBDIST_API_KEYS: is also set in the file of WEBDIST_CONFIG/,
  });
});

t.test('a change to the file is in force without a restart', async (t) => {
  const { settings, write } = settingsWithKeys(t, [{ name: 'old', sha256: sha256('key-old') }]);
  const folder = temporaryFolder(t);
  const inFile = settingsIn(folder);
  const listFile = join(folder, 'keys.txt');
  writeFileSync(listFile, `old:${sha256('key-old')}\n`);

  for (const [name, env, change, damage] of [
    [
      'WEBDIST_CONFIG',
      settings,
      (key: string) => write([{ name: 'new', sha256: sha256(key) }]),
      () => write('{ "apps": '),
    ],
    [
      'WEBDIST_API_KEYS_FILE',
      { ...inFile, WEBDIST_API_KEYS_FILE: listFile },
      (key: string) => replace(listFile, `new:${sha256(key)}`),
      () => replace(listFile, 'new:not-a-digest'),
    ],
  ] as const) {
    const port = String(await freePort());
    const url = `http://127.0.0.1:${port}`;
    const service = runWebdist(t, ['serve'], { ...env, PORT: port });
    const body = { app: '6500000001' };
    const answers = (key: string, status: number) =>
      until(
        async () => (await ask(url, key, body).catch(() => undefined))?.status === status,
        `${name}: ${key} ${status}`,
      );
    await answers('key-old', 200);
    change('key-new');
    await answers('key-old', 401);
    t.equal((await ask(url, 'key-new', body)).status, 200, `${name}: the new key`);
    damage();
    await until(() => service.output().includes('"event":"api_keys_invalid"'), `${name}: the problem is logged`);
    t.match(service.output(), `"problems":[{"variable":"${name}"`, 'by the variable that was set');
    t.equal((await ask(url, 'key-new', body)).status, 200, `${name}: the keys stay as they were`);
    t.notOk(service.output().includes('not-a-digest'), 'nothing of the file is in the log');
    change('key-newer');
    await answers('key-newer', 200);
    t.match(service.output(), /"event":"api_keys_changed","names":\["new"\]/);
  }
});

t.test('api-keys new', async (t) => {
  const { key, entry } = await webdistJson<{ key: string; entry: string }>(['api-keys', 'new', 'shop']);
  t.equal(entry, `shop:${sha256(key)}`);
  const limited = await webdistJson<{ key: string; entry: string }>([
    ...['api-keys', 'new', 'shop', '--tokens-per-minute', '600', '--until', '2027-12-31'],
  ]);
  t.equal(limited.entry, `shop:${sha256(limited.key)}:600:2027-12-31`);
  t.not(limited.key, key);
  const { entry: ending } = await webdistJson<{ entry: string }>(['api-keys', 'new', 'shop', '--until', '2027-12-31']);
  for (const WEBDIST_API_KEYS of [entry, limited.entry, ending])
    t.match(await webdist(['config', 'check'], { WEBDIST_API_KEYS }), { code: 0 }, WEBDIST_API_KEYS);
  for (const args of [['a b'], ['x', '--until', 'tomorrow'], ['x', '--tokens-per-minute', '-1']])
    t.match(await webdist(['api-keys', 'new', ...args]), { code: 2, stdout: '' }, args.join(' '));
});
