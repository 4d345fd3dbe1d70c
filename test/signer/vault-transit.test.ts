/** Vault Transit: the contract against the stand-in, and against a real server when VAULT_TEST_ADDR names one. */

import { randomUUID, verify } from 'node:crypto';
import t, { type Test } from 'tap';
import { spki } from '../../src/jws.ts';
import { openSigner } from '../../src/locators.ts';
import { guard } from '../../src/signer/guarded.ts';
import { openVaultTransit } from '../../src/signer/vault-transit.ts';
import type { Fault } from '../harness/stand-ins/fault.ts';
import { administer, startVault } from '../harness/stand-ins/vault.ts';
import { startRealVault, withoutVault } from '../harness/stand-ins/vault-server.ts';
import { type SignerSubject, signerContract } from './contract.ts';

type Server = { readonly url: string; readonly rootToken: string; readonly isShared?: boolean };

/** Mounts Transit with a usable key, one on another curve and one that cannot sign. */
async function setUp(t: Test, { url, rootToken, isShared }: Server) {
  const mount = `webdist-test/${randomUUID()}`;
  const admin = (method: string, path: string, body?: object) => administer(url, rootToken, method, path, body);
  await admin('POST', `sys/mounts/${mount}`, { type: 'transit' });
  t.teardown(() => (isShared ? admin('DELETE', `sys/mounts/${mount}`) : undefined));
  for (const [name, type] of Object.entries({ good: 'ecdsa-p256', p384: 'ecdsa-p384', cipher: 'aes256-gcm96' }))
    await admin('POST', `${mount}/keys/${name}`, { type });
  const { auth } = await admin('POST', 'auth/token/create', { policies: ['default'], ttl: '1h' });
  const env = { VAULT_ADDR: url, VAULT_TOKEN: rootToken };
  const open = (key: string, vaultToken = rootToken) =>
    openVaultTransit(`hashivault://${key}?mount=${encodeURIComponent(mount)}`, { ...env, VAULT_TOKEN: vaultToken });
  const subject = {
    backend: 'hashivault',
    named: /Vault Transit/,
    open: () => open('good'),
    refusals: {
      absent: () => open('none'),
      denied: () => open('good', auth.client_token),
      unreachable: () => openVaultTransit('hashivault://good', { ...env, VAULT_ADDR: 'http://127.0.0.1:1' }),
      wrongCurve: () => open('p384'),
      malformedLocator: () => openVaultTransit('hashivault://good?maunt=transit', env),
    },
    secrets: [rootToken, auth.client_token],
  } satisfies SignerSubject;
  return { admin, mount, env, subject };
}

/** `auto_rotate_period`, with which the server adds versions. */
async function rotationContract(t: Test, { admin, mount, env }: Awaited<ReturnType<typeof setUp>>) {
  const found = async (query = '') => {
    const signer = await openVaultTransit(`hashivault://good?mount=${encodeURIComponent(mount)}${query}`, env);
    return signer.close().then(() => signer.autoRotation?.found);
  };
  t.equal(await found(), undefined);
  await admin('POST', `${mount}/keys/good/config`, { auto_rotate_period: 30 * 86_400 });
  t.match(await found(), 'gets a new version from Vault every 720 h');
  t.equal(await found('&version=1'), undefined, 'the locator names a version');
  await admin('POST', `${mount}/keys/good/config`, { auto_rotate_period: 0 });
  t.equal(await found(), undefined);
}

t.test('a real Vault or OpenBao', { skip: withoutVault }, async (t) => {
  await signerContract(t, async (t) => (await setUp(t, await startRealVault(t))).subject);
  await t.test('automatic rotation', async (t) => rotationContract(t, await setUp(t, await startRealVault(t))));
});

t.test('the stand-in', async (t) => {
  const vault = await startVault();
  t.teardown(() => vault[Symbol.asyncDispose]());
  const { admin, mount, env, subject } = await setUp(t, vault);
  await t.test('automatic rotation', (t) => rotationContract(t, { admin, mount, env, subject }));
  const open = (query = '') => openVaultTransit(`hashivault://good?mount=${mount}${query}`, env);
  const failing = (fault: Fault) => {
    vault.fault = fault;
    return open().finally(() => {
      vault.fault = undefined;
    });
  };

  await signerContract(t, async () => ({
    ...subject,
    refusals: { ...subject.refusals, throttled: () => failing('throttled'), malformed: () => failing('malformed') },
    fail: (fault) => {
      vault.fault = fault;
    },
  }));

  await t.test('requests in one turn share a call, and each gets its own signature', async (t) => {
    const signer = await open();
    const before = vault.requests.length;
    const texts = Array.from({ length: 20 }, (_, index) => Buffer.from(`token ${index}`));
    const signatures = await Promise.all(texts.map((text) => signer.sign(text)));
    t.equal(vault.requests.length, before + 1);
    for (const [index, text] of texts.entries())
      t.ok(
        verify('sha256', text, { key: signer.publicKey, dsaEncoding: 'ieee-p1363' }, signatures[index] as Uint8Array),
      );
    await signer.close();
  });

  await t.test('a sealed or disconnected server is unreachable', async (t) => {
    await t.rejects(failing('broken'), { code: 'key_unreachable' });
    await t.rejects(failing('dropped'), { code: 'key_unreachable' });
  });

  await t.test('other types of keys, and other mounts, are refused', async (t) => {
    await t.rejects(openVaultTransit(`hashivault://cipher?mount=${mount}`, env), { code: 'key_invalid' });
    await t.rejects(openVaultTransit('hashivault://good?mount=nowhere', env), { code: 'key_absent' });
    await t.rejects(open('&version=9'), { code: 'key_absent' });
    for (const bad of ['hashivault://', 'hashivault://a/b', 'hashivault://..', 'hashivault://a?mount=../sys'])
      await t.rejects(openVaultTransit(bad, env), { code: 'config_invalid' }, bad);
  });

  await t.test('a token that may read the key but not sign with it is refused at opening', async (t) => {
    vault.vaultTokens.set('hvs.reader', { may: 'read', ttlSeconds: 3600, renewable: true });
    const locator = `hashivault://good?mount=${mount}`;
    await t.rejects(openSigner(locator, { ...env, VAULT_TOKEN: 'hvs.reader' }), { code: 'key_denied' });
    const signer = await openSigner(locator, env);
    t.equal(signer.state, 'closed');
    await signer.close();
    await t.rejects(openSigner('hsm:good', env), { code: 'config_invalid', message: /"hsm:"/ });
  });

  await t.test('DER signatures of older servers are converted', async (t) => {
    vault.knowsJws = false;
    t.teardown(() => {
      vault.knowsJws = true;
    });
    const signer = guard(await open());
    t.equal((await signer.sign(Buffer.from('a'))).length, 64);
    await signer.close();
  });

  await t.test('after a rotation, the pinned version still signs', async (t) => {
    const first = guard(await open());
    t.teardown(() => first.close());
    await admin('POST', `${mount}/keys/good/rotate`);
    await first.sign(Buffer.from('a'));

    const newest = await open();
    t.not(spki(newest.publicKey), spki(first.publicKey), 'by default, the newest version is opened');
    const pinned = await openVaultTransit(`hashivault://good?mount=${mount}`, env, first.publicKey);
    t.equal(spki(pinned.publicKey), spki(first.publicKey), 'the version of the registered public half');
    await guard(pinned).sign(Buffer.from('a'));
    const numbered = await open('&version=1');
    t.equal(spki(numbered.publicKey), spki(first.publicKey), 'the version in the locator');
    for (const signer of [newest, pinned, numbered]) await signer.close();

    await admin('POST', `${mount}/keys/good/config`, { min_encryption_version: 2 });
    await t.rejects(first.sign(Buffer.from('a')), { code: 'signer_unavailable' }, 'Vault may retire it');
    await t.rejects(open('&version=1'), { code: 'key_absent' });
  });
});
