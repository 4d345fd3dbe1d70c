/** Which version each kind of request gets while versions are on hold or one is to be used. */

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import t from 'tap';
import type { Order } from '../../src/orders/orders.ts';
import { openOrderStore } from '../../src/orders/store.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { post } from '../harness/http.ts';
import { webdist } from '../harness/process.ts';
import { settingsIn, startReady, startService } from '../harness/service.ts';
import { until } from '../harness/until.ts';
import { appleItemId, makeCurrent, putVersion } from '../harness/versions.ts';

const API_KEY = 'key-of-the-shop-0123456789';

type Row = {
  readonly name: string;
  readonly orders: readonly Order[];
  /** The AppleVersionID that a link gets, or the code of the refusal. */
  readonly link: string;
  /** By the version that a device had: what it gets back, or "failure". */
  readonly restore: Readonly<Record<string, string>>;
  /** By the version that a device has: its update, or "none". */
  readonly update: Readonly<Record<string, string>>;
};

const hold = (appleVersionId: string): Order => ({ act: 'hold', appleItemId, appleVersionId });
const release = (appleVersionId: string): Order => ({ act: 'release', appleItemId, appleVersionId });
const use = (appleVersionId: string | undefined): Order => ({ act: 'use', appleItemId, appleVersionId });

/** Each row continues from the one before. */
const table: readonly Row[] = [
  {
    name: 'no order',
    orders: [],
    link: '300',
    restore: { 100: '100', 200: '200', 300: '300', 999: '300' },
    update: { 100: '300', 200: '300', 300: 'none' },
  },
  {
    name: 'the newest on hold',
    orders: [hold('300')],
    link: '200',
    restore: { 100: '100', 200: '200', 300: '200' },
    update: { 100: '200', 200: 'none', 300: 'none' },
  },
  {
    name: 'the two newest on hold',
    orders: [hold('200')],
    link: '100',
    restore: { 100: '100', 200: '100', 300: '100' },
    update: { 100: 'none', 200: 'none' },
  },
  {
    name: 'all on hold',
    orders: [hold('100')],
    link: 'version_held',
    restore: { 100: 'failure', 300: 'failure' },
    update: { 100: 'none', 200: 'none' },
  },
  {
    name: 'resumed, and an older one used',
    orders: [release('100'), release('200'), release('300'), use('200')],
    link: '200',
    restore: { 100: '100', 300: '300', 999: '200' },
    update: { 100: '200', 200: 'none', 300: 'none' },
  },
  {
    name: 'the used one on hold',
    orders: [hold('200')],
    link: '300',
    restore: { 100: '100', 200: 'failure', 999: 'failure' },
    update: { 100: 'none', 200: 'none' },
  },
  {
    name: 'a version used that no one has',
    orders: [release('200'), use('400')],
    link: '300',
    restore: { 100: '100', 300: '300' },
    update: { 100: 'none' },
  },
  {
    name: 'the newest again',
    orders: [use(undefined)],
    link: '300',
    restore: { 100: '100', 999: '300' },
    update: { 100: '300', 200: '300', 300: 'none' },
  },
];

t.test('the first token of a service that starts with orders in force', async (t) => {
  const folder = temporaryFolder(t);
  const dir = join(folder, 'packages');
  for (const id of ['100', '200', '300']) putVersion(dir, id, `1.${id[0]}.0`);
  makeCurrent(dir, '300');
  const settings = settingsIn(folder, {
    WEBDIST_PACKAGES_DIR: dir,
    WEBDIST_PACKAGES_URL: 'https://shop.example.com/adp',
  });
  for (const [name, orders, version] of [
    ['no order', [], '300'],
    ['an older version used', [use('100')], '100'],
    ['the newest on hold', [hold('300')], '200'],
    ['the used one on hold', [use('200'), hold('200')], '300'],
  ] as const) {
    const dataDir = join(folder, name);
    const store = await openOrderStore({ dataDir, ledger: { url: 'memory:' } });
    for (const order of orders) await store.change(order);
    await store.close();
    const { service } = await startService(t, undefined, { ...settings, WEBDIST_DATA_DIR: dataDir });
    const [app] = service.apps.all;
    if (!app) throw new Error('No app is configured.');
    const { installToken } = await service.issue({ app, caller: 'command', dtype: 'download' });
    t.equal(decodeJwt(installToken)['vid'], version, name);
  }
});

t.test('links, restores and updates', async (t) => {
  const folder = temporaryFolder(t);
  const dir = join(folder, 'packages');
  putVersion(dir, '100', '1.0.0');
  putVersion(dir, '200', '1.1.0');
  putVersion(dir, '300', '1.2.0');
  makeCurrent(dir, '300');
  const settings = settingsIn(folder, {
    WEBDIST_ANONYMOUS: 'any',
    WEBDIST_API_KEYS: `shop:${createHash('sha256').update(API_KEY).digest('hex')}`,
    WEBDIST_PACKAGES_DIR: dir,
    WEBDIST_PACKAGES_URL: 'https://shop.example.com/adp',
    WEBDIST_LICENSE_DYNAMIC_URL: 'https://shop.example.com/license',
  });
  const { url } = await startReady(t, undefined, settings);
  const store = await openOrderStore({ dataDir: join(folder, 'data'), ledger: { url: 'memory:' } });

  const versionOfLink = async () => {
    const { body } = await post(`${url}/install-token`, {});
    return body['code'] ?? String(body['installUrl']).match(/versions%2F(\d+)/)?.[1];
  };
  const device = async (kind: 'restore' | 'updates', appleVersionId: string) => {
    const { body } = await post(`${url}/marketplace-kit/${kind}`, {
      platform: 'iOS',
      osVersion: '18.5',
      apps: [{ appleItemId, appleVersionId }],
    });
    const [entry] = (body[kind === 'restore' ? 'restores' : 'updates'] ?? []) as { appleVersionId: string }[];
    return entry?.appleVersionId ?? (body['failures'] ? 'failure' : 'none');
  };
  const all = async (kind: 'restore' | 'updates', wanted: Row['restore']) =>
    Object.fromEntries(await Promise.all(Object.keys(wanted).map(async (id) => [id, await device(kind, id)])));

  for (const { name, orders, link, restore, update } of table) {
    for (const order of orders) await store.change(order);
    const { revision } = await store.read();
    await until(async () => (await store.replicas())[0]?.revision === revision, `${name}: the order is followed`);
    t.equal(await versionOfLink(), link, `${name}: link`);
    t.strictSame(await all('restore', restore), restore, `${name}: restores`);
    t.strictSame(await all('updates', update), update, `${name}: updates`);
  }

  // A server that names the version is refused, too.
  await store.change(hold('200'));
  const named = async () => {
    const headers = { 'content-type': 'application/json', authorization: `Bearer ${API_KEY}` };
    const answer = await fetch(`${url}/install-token`, { method: 'POST', headers, body: '{"version":"200"}' });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  await until(async () => (await named()).body['code'] === 'version_held', 'a held version named by a server');
  t.match(await named(), { status: 503, body: { detail: /on hold/ } });

  const own = { ...settings, WEBDIST_DATA_DIR: join(folder, 'data') };
  t.match(await webdist(['packages', 'use', '1.0.0', '--yes', '--wait'], own), {
    code: 0,
    stdout: /version 1\.0\.0/,
    stderr: '',
  });
  t.equal(await versionOfLink(), '100');
  t.match(await webdist(['packages', 'use', '1.0.0', '--yes'], own), { code: 0, stdout: /1\.0\.0 of .+ already/ });
  t.match(await webdist(['packages', 'use', '12345', '--yes'], own), {
    code: 0,
    stderr: /no version 12345.+continues as before/,
  });
  t.match(await webdist(['packages', 'use', '12345', '--yes', '--wait'], own), {
    code: 1,
    stdout: '',
    stderr: /The order is stored, but \S+ cannot carry it out\. They need WEBDIST_PACKAGES_URL/,
  });
  t.match(await webdist(['status'], own), { code: 0, stdout: /\d+, not 12345/ });
  const { WEBDIST_PACKAGES_URL: _, ...withoutUrl } = own as Record<string, string>;
  t.match(await webdist(['packages', 'use', '1.0.0', '--yes'], withoutUrl), {
    code: 0,
    stderr: /WEBDIST_PACKAGES_URL is not set.+continues as before/,
  });
  t.match(await webdist(['packages', 'hold', '99999', '--yes'], own), {
    code: 0,
    stderr: /no version 99999.+misspelt/,
  });
  t.match(await webdist(['packages', 'hold', '200', '--yes'], own), { code: 0, stderr: '' });
  t.match(await webdist(['packages', 'use', 'newest', '--yes', '--wait'], own), {
    code: 0,
    stdout: /the newest version/,
  });
  t.match(await webdist(['packages', 'resume', '200', '--wait'], own), { code: 0, stdout: /get 200 of .+ again/ });
  t.match(await webdist(['packages', 'resume', '200', '--yes'], own), { code: 0, stdout: /200 of .+ was not on hold/ });
  t.match((await named()).status, 200);
});
