/** `webdist keys rotate` as an operator uses it, with servers running in this process that share its data folder. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { nextStep } from '../../../src/registration/rotation/steps.ts';
import { appleItemId, keyFile, keyIdOf, openAccount } from '../../harness/account.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { runWebdist } from '../../harness/process.ts';
import { startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

// Most of a rotation is waiting; each test has an account of its own.
t.jobs = 4;

t.test('the steps follow from what is registered', { buffered: true }, async (t) => {
  const table: [Parameters<typeof nextStep>[0], ReturnType<typeof nextStep>][] = [
    [
      { targetId: undefined, otherIds: ['old'], refusals: 0, keepsOthers: false },
      { act: 'add', isLast: false },
    ],
    [
      { targetId: undefined, otherIds: ['old'], refusals: 1, keepsOthers: false },
      { act: 'remove', keyId: 'old' },
    ],
    [
      { targetId: undefined, otherIds: [], refusals: 0, keepsOthers: false },
      { act: 'add', isLast: false },
    ],
    [
      { targetId: undefined, otherIds: [], refusals: 4, keepsOthers: false },
      { act: 'add', isLast: true },
    ],
    [
      { targetId: 'new', otherIds: ['old'], refusals: 0, keepsOthers: false },
      { act: 'remove', keyId: 'old' },
    ],
    [
      { targetId: 'new', otherIds: [], refusals: 0, keepsOthers: false },
      { act: 'finish', keyId: 'new' },
    ],
  ];
  const kept: typeof table = [
    [
      { targetId: undefined, otherIds: ['old'], refusals: 0, keepsOthers: true },
      { act: 'add', isLast: false },
    ],
    [
      { targetId: 'new', otherIds: ['old'], refusals: 0, keepsOthers: true },
      { act: 'finish', keyId: 'new' },
    ],
    [
      { targetId: undefined, otherIds: ['old'], refusals: 1, keepsOthers: true },
      { act: 'remove', keyId: 'old' },
    ],
    [
      { targetId: 'new', otherIds: [], refusals: 0, keepsOthers: true },
      { act: 'finish', keyId: 'new' },
    ],
  ];
  for (const [standing, step] of [...table, ...kept]) t.strictSame(nextStep(standing), step);
});

t.test(
  'there and back: servers follow without asking Apple, and a new one knows the key',
  { buffered: true },
  async (t) => {
    const { sandbox, door, env, asc, rotate } = await openAccount(t);
    const [one, two] = [await startReady(t, sandbox, env), await startReady(t, sandbox, env)];
    await Promise.all([one.service.reconcile(), two.service.reconcile()]);
    const old = await keyIdOf(one.url);
    const before = door.passed.length;
    const { code, output } = await rotate();
    t.equal(code, 0, output);
    t.match(
      output,
      /Announcing the change.*Pausing.*Adding the key SHA256.*Removing the key.*Adding the key.*Replicas sign again/s,
    );
    const asked = door.passed.slice(before).map(({ method, path }) => `${method} ${path}`);
    const registered = await asc.appKey(appleItemId);
    t.not(registered?.id, old);
    for (const { url } of [one, two]) await until(async () => (await keyIdOf(url)) === registered?.id, 'the new key');
    t.equal(door.passed.length, before + asked.length, 'the servers did not ask Apple');
    t.equal((await asc.listKeys()).length, 1);
    t.equal((await rotate()).output, 'This key is already registered; nothing was changed.\n');

    door.hook = () => new Promise(() => undefined);
    const three = await startReady(t, sandbox, env);
    t.equal(await keyIdOf(three.url), registered?.id, 'a server that starts while Apple is down knows it');
    door.hook = undefined;

    const back = await rotate(['--rollback']);
    t.equal(back.code, 0, back.output);
    const again = await asc.appKey(appleItemId);
    for (const { url } of [one, two, three]) await until(async () => (await keyIdOf(url)) === again?.id, 'the old key');
    t.equal((await asc.listKeys()).length, 1);
    t.match(await rotate(['--rollback']), { code: 2, output: /no rotation to roll back/ });
  },
);

t.test('a rotation that cannot work is refused before anything changes', { buffered: true }, async (t) => {
  const { sandbox, env, asc, rotate, dataDir, to } = await openAccount(t);
  const { service, url } = await startReady(t, sandbox, env);
  await service.reconcile();
  const old = await keyIdOf(url);
  t.match(await rotate([]), { code: 2, output: /--to LOCATOR or --rollback/ });
  t.match(await rotate(['--to', to, '--app', 'com.example.other']), {
    code: 2,
    output: /--app with one of: com\.example/,
  });
  t.match(await rotate(['--to', `file://${dataDir}/absent.pem`]), { code: 1, output: /--to: .*does not exist/ });
  const unasked = runWebdist(t, ['keys', 'rotate', '--to', to], env);
  t.equal(await unasked.exited, 2);
  t.match(unasked.output(), /Use --yes/);
  const { signer } = (await import('../../../src/signer/local.ts')).openLocalSigner(
    (await import('node:fs')).readFileSync(new URL(to), 'utf8'),
    'file',
  );
  const taken = await asc.addKey({ publicKey: signer.publicKey });
  t.match(await rotate(), { code: 1, output: /registered already, as .* for something else/ });
  await asc.removeKey(taken.id);
  t.equal((await asc.appKey(appleItemId))?.id, old);
  t.equal(await keyIdOf(url), old);
});

t.test(
  'a key that servers do not hold: a warning, and the server stops until the rollback',
  { buffered: true },
  async (t) => {
    const { sandbox, env, asc, rotate } = await openAccount(t);
    const { service, url } = await startReady(t, sandbox, env);
    await service.reconcile();
    const { code, output } = await rotate(['--to', keyFile(temporaryFolder(t), 'third.pem')]);
    t.equal(code, 0, output);
    t.match(output, /WARNING: in these settings, no candidate of com\.example\.trailmap/);
    await until(async () => (await keyIdOf(url)) === '503 not_registered', 'the server to stop');
    await until(
      () => service.health().apps['com.example.trailmap']?.registration.code === 'different_key_registered',
      'health to say why',
    );
    t.equal((await rotate(['--rollback'])).code, 0);
    const back = await asc.appKey(appleItemId);
    await until(async () => (await keyIdOf(url)) === back?.id, 'the old key');
  },
);

t.test('Apple keeps refusing the new key: the old one is restored', { buffered: true }, async (t) => {
  const { sandbox, env, asc, door, rotate } = await openAccount(t);
  const { service, url } = await startReady(t, sandbox, env);
  await service.reconcile();
  const held = await asc.appKey(appleItemId);
  let posts = 0;
  door.hook = (at, { method }) => {
    // Adding the new key is refused six times: once with the old key registered, five times without it. The seventh adds the old one.
    if (at !== 'in' || method !== 'POST') return;
    posts += 1;
    const refuse = posts > 1 && posts < 7;
    return fetch(`${sandbox.baseUrl}/_sandbox/faults`, {
      method: refuse ? 'POST' : 'DELETE',
      ...(refuse && { body: JSON.stringify({ method: 'POST', status: 409, times: 1 }) }),
    }).then(() => undefined);
  };
  const { code, output } = await rotate();
  t.equal(code, 1, output);
  t.match(output, /the old key stays or is restored/);
  const now = await asc.appKey(appleItemId);
  t.equal(now?.spki, held?.spki);
  await until(async () => (await keyIdOf(url)) === now?.id, 'signing again');
  t.equal((await asc.listKeys()).length, 1);
});

t.test(
  'a key of the account: both are registered for a moment, and all its apps change',
  { buffered: true },
  async (t) => {
    const { sandbox, env, asc, rotate, to } = await openAccount(t);
    const settings = { ...env, WEBDIST_KEY_SCOPE: 'account' };
    const { service, url } = await startReady(t, sandbox, settings);
    await service.reconcile();
    const { code, output } = await rotate(['--to', to, '--overlap', '0'], settings);
    t.equal(code, 0, output);
    t.match(output, /every app without its own key/);
    t.notMatch(output, /Removing.*Adding/s, 'added first');
    const [key, ...others] = await asc.listKeys({ app: false });
    t.strictSame(others, []);
    await until(async () => (await keyIdOf(url)) === key?.id, 'the new key');
  },
);

t.test(
  'several apps: --app is required, and a key of the account changes for all apps that use it',
  { buffered: true },
  async (t) => {
    const { env, asc, dataDir, rotate, to } = await openAccount(t);
    const { WEBDIST_KEY = '', WEBDIST_DOMAIN = '', ...others } = env as Record<string, string>;
    const single = /^WEBDIST_(APPLE_ITEM_ID|BUNDLE_ID|PACKAGE_URL|PACKAGE_MANIFEST|APP_SHARE_URL)$/;
    const shared = Object.fromEntries(Object.entries(others).filter(([name]) => !single.test(name)));
    const apps = [
      { bundleId: 'com.example.trailmap', appleItemId, key: WEBDIST_KEY },
      { bundleId: 'com.example.other', appleItemId: '6500000009', key: WEBDIST_KEY },
    ];
    const path = join(dataDir, 'webdist.json');
    writeFileSync(path, JSON.stringify({ domain: WEBDIST_DOMAIN, apps }));
    const settings = { ...shared, WEBDIST_CONFIG: path, WEBDIST_KEY_SCOPE: 'account' };
    const { service } = await startReady(t, undefined, settings);
    await service.reconcile();
    t.match(await rotate(undefined, settings), {
      code: 2,
      output: /2 apps are known here\. Use --app with one of: com\.example\.trail/,
    });
    const { code, output } = await rotate(['--json', '--to', to, '--app', appleItemId, '--overlap', '0'], settings);
    t.equal(code, 0, output);
    t.match(output, `"appleItemIds":["${appleItemId}","6500000009"]`, 'both apps use it');
    t.match(await asc.listKeys({ app: false }), { length: 1 });
  },
);

t.test('two at the same time: one rotates, the other changes nothing', { buffered: true }, async (t) => {
  const { sandbox, env, asc, rotate } = await openAccount(t);
  const { service, url } = await startReady(t, sandbox, env);
  await service.reconcile();
  const results = await Promise.all([rotate(), rotate()]);
  t.ok(results.some(({ code }) => code === 0));
  for (const { code, output } of results)
    if (code !== 0) t.match(output, /Another `.*keys rotate`|There is|not read by every server/, output);
  const [key, ...others] = await asc.listKeys();
  t.strictSame(others, []);
  await until(async () => (await keyIdOf(url)) === key?.id, 'the new key');
});

t.test(
  'Ctrl-C in the middle: the message says how to continue, and the next run finishes',
  { buffered: true },
  async (t) => {
    const { sandbox, env, to, asc, rotate } = await openAccount(t);
    await startReady(t, sandbox, env);
    const { child, exited, output } = runWebdist(t, ['keys', 'rotate', '--yes', '--to', to], env);
    await until(() => output().includes('Pausing'), 'the pause');
    child.kill('SIGINT');
    t.equal(await exited, 130);
    t.match(output(), /Interrupted\. Run the same command again/);
    const { code, output: said } = await rotate();
    t.equal(code, 0, said);
    t.equal((await asc.listKeys()).length, 1, 'exactly one key is registered');
  },
);

t.test('an answer that Apple gave before the rotation does not count after it', { buffered: true }, async (t) => {
  const { sandbox, env, asc, door, rotate } = await openAccount(t);
  const { service, url } = await startReady(t, sandbox, env);
  await service.reconcile();
  const answered = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  door.hook = (at, { path }) => {
    if (at !== 'out' || !path.endsWith('/alternativeDistributionKey')) return;
    door.hook = undefined;
    answered.resolve();
    return released.promise;
  };
  const checked = service.reconcile();
  await answered.promise;
  const { code, output } = await rotate();
  t.equal(code, 0, output);
  const key = await asc.appKey(appleItemId);
  await until(async () => (await keyIdOf(url)) === key?.id, 'the new key');
  released.resolve();
  await checked;
  t.equal(await keyIdOf(url), key?.id, 'the old key, which that answer reported, does not sign again');
  t.match(service.health(), { apps: { 'com.example.trailmap': { registration: { state: 'ok' }, keyId: key?.id } } });
});
