/** `keys` and `apps` against the simulated App Store Connect, as processes. */

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { publicKeyPem } from '../../src/jws.ts';
import { control } from '../harness/apple-client.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { webdist, webdistJson } from '../harness/process.ts';
import { requestsSeen, startSandbox } from '../harness/sandbox.ts';

/** Only the settings of App Store Connect: these commands need no app. */
function credentials(settings: Readonly<Record<string, string>>) {
  return Object.fromEntries(Object.entries(settings).filter(([name]) => name.startsWith('ASC_')));
}

const uuid = /^[0-9a-f-]{36}$/;
const sha256 = /^SHA256:[0-9a-f]{64}$/;

type Key = { id: string; scope: string; app: { bundleId: string } | null; fingerprint: string; publicKey: string };

t.test('keys: add, list, show, remove', async (t) => {
  const { settings, baseUrl, ...sandbox } = await startSandbox(t);
  const env = credentials(settings);
  const folder = temporaryFolder(t);
  const publicFile = join(folder, 'public.pem');
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  writeFileSync(publicFile, publicKeyPem(publicKey));

  t.strictSame(await webdistJson(['keys', 'list'], env), []);
  t.equal((await webdist(['keys', 'list'], env)).stdout, 'No keys are registered.\n');

  const own = await webdistJson<Key>(
    ['keys', 'add', '--key', settings['WEBDIST_KEY'] ?? '', '--app', 'com.example.trailmap'],
    env,
  );
  t.match(own, { id: uuid, scope: 'app', app: { bundleId: 'com.example.trailmap' }, fingerprint: sha256 });
  const shared = await webdistJson<Key>(['keys', 'add', '--public', publicFile, '--account'], env);
  t.match(shared, { id: uuid, scope: 'account', app: null, publicKey: publicKeyPem(publicKey) });

  t.strictSame(await webdistJson(['keys', 'list'], env), [own, shared]);
  t.strictSame(await webdistJson(['keys', 'list', '--account'], env), [shared]);
  t.strictSame(await webdistJson(['keys', 'list', '--app', '6500000001'], env), [own]);
  t.strictSame(await webdistJson(['keys', 'show', own.id], env), own);
  const list = await webdist(['keys', 'list'], env);
  t.equal(list.code, 0);
  const [head, first, second] = list.stdout.split('\n');
  t.match(head, /^ID +FOR +FINGERPRINT$/);
  t.equal(first, `${own.id}  com.example.trailmap (6500000001)  ${own.fingerprint}`);
  t.equal(second, `${shared.id}  ${'all apps'.padEnd(33)}  ${shared.fingerprint}`);
  const show = await webdist(['keys', 'show', shared.id], env);
  t.equal(
    show.stdout,
    `id           ${shared.id}\nfor          all apps\nfingerprint  ${shared.fingerprint}\n${publicKeyPem(publicKey)}`,
  );

  await t.test('errors are one line', async (t) => {
    const again = await webdist(['keys', 'add', '--public', publicFile, '--account'], env);
    t.match(again, { code: 0, stderr: 'This key is already registered; nothing was changed.\n' });
    t.match(again.stdout, new RegExp(`^id +${shared.id}\n`));
    const otherScope = await webdist(['keys', 'add', '--public', publicFile, '--app', 'com.example.trailmap'], env);
    t.match(otherScope, { code: 1, stdout: '' });
    t.match(
      otherScope.stderr,
      new RegExp(`^webdist: This public half is already registered .+ as ${shared.id}\\. .+\\n$`),
    );
    const second = await webdist(['keys', 'add', '--key', 'env://OTHER', '--app', 'com.example.trailmap'], {
      ...env,
      OTHER: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'pem', type: 'pkcs8' }),
    } as Record<string, string>);
    t.match(second, { code: 1, stderr: /^webdist: POST .+ already has a key.+\n$/ });
    t.match(await webdist(['keys', 'show', 'no-such'], env), { code: 1, stderr: /^webdist: .+no-such.+\n$/ });
    t.match(await webdist(['keys', 'remove', 'no-such', '--yes'], env), { code: 1, stderr: /^webdist: .+no-such/ });
    t.match(await webdist(['keys', 'list', '--app', 'com.none.app'], env), { code: 1, stderr: /"com\.none\.app"/ });
    t.match(await webdist(['keys', 'list', '--app', 'a.b', '--account'], env), { code: 2, stderr: /not both/ });
    t.match(await webdist(['keys', 'add', '--account'], env), { code: 2, stderr: /--key LOCATOR or --public FILE/ });
    t.match(await webdist(['keys', 'add', '--public', publicFile], env), { code: 2, stderr: /--app APP or --account/ });
    t.match(await webdist(['keys', 'add', '--public', join(folder, 'none'), '--account'], env), {
      code: 1,
      stderr: /cannot be read \(ENOENT\)/,
    });
    t.match(await webdist(['keys', 'add', '--key', 'env://NONE', '--account'], env), {
      code: 1,
      stderr: /^webdist: --key: .+NONE/,
    });
  });

  await t.test('nothing is removed without confirmation', async (t) => {
    const refused = await webdist(['keys', 'remove', shared.id], env, 'y\n');
    t.match(refused, {
      code: 2,
      stdout: '',
      stderr: /^webdist: This needs confirmation: .+ Use --yes when there is no terminal\.\n$/,
    });
    t.strictSame(await requestsSeen({ baseUrl, settings, ...sandbox }, 'DELETE'), []);
    const removed = await webdist(['keys', 'remove', shared.id, '--yes'], env);
    t.match(removed, { code: 0, stdout: `removed  ${shared.id}\n` });
    t.strictSame(await webdistJson(['keys', 'remove', own.id, '--yes'], env), { removed: own.id });
    t.strictSame(await webdistJson(['keys', 'list'], env), []);
  });
});

t.test('apps list and find', async (t) => {
  const sandbox = await startSandbox(t);
  const { settings } = sandbox;
  const env = credentials(settings);
  const found = { appleItemId: '6500000001', bundleId: 'com.example.trailmap', name: 'Trail Map', keyId: null };
  t.match(await webdistJson(['apps', 'find', 'com.example.trailmap'], env), found);
  t.match(await webdistJson(['apps', 'find', '6500000001'], env), found);
  t.match(await webdistJson(['apps', 'find', 'Trail Map'], env), found);
  const listed = { appleItemId: '6500000001', bundleId: 'com.example.trailmap', name: 'Trail Map' };
  t.strictSame(await webdistJson(['apps', 'list'], env), [listed]);
  const list = (await webdist(['apps', 'list'], env)).stdout;
  t.match(list, /^APPLEITEMID +BUNDLE ID +NAME\n6500000001 +com\.example\.trailmap +Trail Map\n$/);
  t.match((await webdist(['apps', 'find', 'com.example.trailmap'], env)).stdout, /^AppleItemID {2}6500000001$/m);
  const { id } = await webdistJson<Key>(
    ['keys', 'add', '--app', '6500000001', '--key', settings['WEBDIST_KEY'] ?? ''],
    env,
  );
  t.match(await webdistJson(['apps', 'find', '6500000001'], env), { keyId: id, fingerprint: sha256 });
  t.match(await webdist(['apps', 'find', 'com.example.Trailmap'], env), { code: 1, stderr: /case matters/ });
  await control(sandbox, 'POST', 'apps', { bundleId: 'com.example.dots', name: 'Book.ing' });
  for (const bundleId of ['com.example.one', 'com.example.two'])
    await control(sandbox, 'POST', 'apps', { bundleId, name: 'Twins' });
  for (const [name, bundleId] of [
    ['trail  map', 'com.example.trailmap'],
    ['Book.ing', 'com.example.dots'],
    ['com.example.two', 'com.example.two'],
  ] as const)
    t.match(await webdistJson(['apps', 'find', name], env), { bundleId });
  t.match(await webdist(['apps', 'find', 'Twins'], env), { code: 2, stderr: /com\.example\.one, com\.example\.two/ });
});
