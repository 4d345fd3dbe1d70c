/**
 * Azure Key Vault keys: the contract against a stand-in for its REST API, and against Azure itself when
 * AZURE_TEST_KEY_LOCATOR names a P-256 key there that DefaultAzureCredential may use.
 */

import { createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, verify } from 'node:crypto';
import t, { type Test } from 'tap';
import { spki } from '../../src/jws.ts';
import { openAzureSecret } from '../../src/secrets/azure.ts';
import { openAzureKey } from '../../src/signer/azure-keys.ts';
import { type Azure, startAzure, withoutOpenssl } from '../harness/stand-ins/azure.ts';
import type { Fault } from '../harness/stand-ins/fault.ts';
import { setVariables, unset } from '../harness/stand-ins/variables.ts';
import { signerContract } from './contract.ts';

const newVersion = (namedCurve: string) => ({
  version: randomBytes(16).toString('hex'),
  privateKey: generateKeyPairSync('ec', { namedCurve }).privateKey,
});
const open = (locator: string) => openAzureKey(locator, process.env);

t.test('Azure itself', { skip: unset('AZURE_TEST_KEY_LOCATOR') }, (t) => {
  const locator = process.env['AZURE_TEST_KEY_LOCATOR'] ?? '';
  return signerContract(t, async () => ({
    backend: 'azurekms',
    named: /Azure Key Vault/,
    open: () => open(locator),
    refusals: { absent: () => open(`${locator}-absent`), malformedLocator: () => open('azurekms://vault') },
    secrets: [process.env['AZURE_CLIENT_SECRET'] ?? 'none'],
  }));
});

async function startVault(t: Test): Promise<Azure> {
  const azure = await startAzure();
  t.teardown(() => azure[Symbol.asyncDispose]());
  setVariables(t, azure.variables);
  return azure;
}

t.test('the stand-in', { skip: withoutOpenssl ?? false }, async (t) => {
  const azure = await startVault(t);
  azure.keys.set('distribution', [newVersion('P-256')]);
  azure.keys.set('larger', [newVersion('P-384')]);
  const locator = `azurekms://${azure.vault}/distribution`;
  const failing = (fault: Fault) => {
    azure.fault = fault;
    return open(locator).finally(() => {
      azure.fault = undefined;
    });
  };

  await signerContract(t, async () => ({
    backend: 'azurekms',
    named: /Azure Key Vault/,
    open: () => open(locator),
    refusals: {
      absent: () => open(`azurekms://${azure.vault}/absent`),
      denied: () => failing('denied'),
      unreachable: () => failing('dropped'),
      throttled: () => failing('throttled'),
      wrongCurve: () => open(`azurekms://${azure.vault}/larger`),
      malformed: () => failing('malformed'),
      malformedLocator: () => open('azurekms://vault'),
    },
    fail: (fault) => {
      azure.fault = fault;
    },
    secrets: azure.confidential,
  }));

  t.test('without a version, the one that is current at opening is pinned', async (t) => {
    const [first, second] = [newVersion('P-256'), newVersion('P-256')];
    azure.keys.set('rotated', [first]);
    const before = await open(`azurekms://${azure.vault}/rotated`);
    azure.keys.set('rotated', [first, second]);
    const signature = await before.sign(Buffer.from('a'));
    t.ok(verify('sha256', Buffer.from('a'), { key: before.publicKey, dsaEncoding: 'ieee-p1363' }, signature));
    const after = await open(`azurekms://${azure.vault}/rotated`);
    t.not(spki(after.publicKey), spki(before.publicKey));
    const named = await open(`azurekms://${azure.vault}/rotated/${first.version}`);
    t.equal(spki(named.publicKey), spki(before.publicKey));
    await t.rejects(open(`azurekms://${azure.vault}/rotated/0000`), { code: 'key_absent' });
  });

  t.test('after a rotation in the vault, the registered version is still found', async (t) => {
    const versions = [newVersion('P-256'), newVersion('P-384'), newVersion('P-256'), newVersion('P-256')];
    azure.keys.set('registered', versions);
    const openFor = (privateKey: KeyObject, version = '') =>
      openAzureKey(`azurekms://${azure.vault}/registered${version}`, process.env, createPublicKey(privateKey));
    const [first, , third, fourth] = versions.map(({ privateKey }) => privateKey);
    for (const registered of [first, third, fourth])
      if (registered) t.equal(spki((await openFor(registered)).publicKey), spki(createPublicKey(registered)));
    if (!first || !fourth) return;
    t.equal(spki((await openFor(first, `/${versions[3]?.version}`)).publicKey), spki(createPublicKey(fourth)));
    azure.keys.set('registered', [newVersion('P-256')]);
    t.not(spki((await openFor(first)).publicKey), spki(createPublicKey(first)), 'it is deleted: the current one');
  });

  t.test('the full host of a vault is used unchanged', async (t) => {
    const signer = await open(`azurekms://${azure.vault}.vault.azure.net/distribution`);
    t.equal((await signer.sign(Buffer.from('a'))).length, 64);
  });

  t.test('a rotation policy with which Azure adds versions', async (t) => {
    const key = newVersion('P-256');
    azure.keys.set('rotating', [key]);
    const rotates = (lifetimeActions: object[]) =>
      azure.rotationPolicies.set('rotating', { id: 'rotating', lifetimeActions, attributes: {} });
    const found = async (version = '') =>
      (await open(`azurekms://${azure.vault}/rotating${version}`)).autoRotation?.found;
    t.equal(await found(), undefined, 'without the permission to read the policy');
    rotates([{ trigger: { timeBeforeExpiry: 'P30D' }, action: { type: 'Notify' } }]);
    t.equal(await found(), undefined, 'a policy that only notifies');
    rotates([{ trigger: { timeAfterCreate: 'P90D' }, action: { type: 'Rotate' } }]);
    t.match(await found(), 'gets a new version from Azure P90D after the last');
    t.equal(await found(`/${key.version}`), undefined, 'the locator names a version');
    rotates([{ trigger: { timeBeforeExpiry: 'P7D' }, action: { type: 'Rotate' } }]);
    t.match(await found(), 'gets a new version from Azure P7D before the last expires');
  });

  t.test('a key that is disabled, or may not sign, is refused', async (t) => {
    const key = newVersion('P-256');
    azure.keys.set('off', [key]);
    const signer = await open(`azurekms://${azure.vault}/off`);
    azure.keys.set('off', [{ ...key, enabled: false }]);
    await t.rejects(async () => signer.sign(Buffer.from('a')), { code: 'key_denied' });
    await t.rejects(open(`azurekms://${azure.vault}/off`), { code: 'key_denied', message: /disabled/ });
    azure.keys.set('off', [{ ...key, operations: ['verify'] }]);
    await t.rejects(open(`azurekms://${azure.vault}/off`), { code: 'key_invalid' });
  });

  t.test('the registered version is disabled: it is not replaced by the current one', async (t) => {
    const [first, second] = [newVersion('P-256'), newVersion('P-256')];
    const registered = createPublicKey(first.privateKey);
    const openFor = () => openAzureKey(`azurekms://${azure.vault}/half-off`, process.env, registered);
    azure.keys.set('half-off', [first, second]);
    t.equal(spki((await openFor()).publicKey), spki(registered));
    azure.keys.set('half-off', [{ ...first, enabled: false }, second]);
    await t.rejects(openFor(), { code: 'key_denied', message: /is disabled\. Enable it/ });
    azure.keys.set('half-off', [{ ...newVersion('P-256'), enabled: false }, second]);
    t.equal(spki((await openFor()).publicKey), spki(createPublicKey(second.privateKey)), 'another disabled version');
  });

  t.test('why Azure refuses: each reason has its message', async (t) => {
    azure.secrets.set('secret', 'text');
    t.teardown(() => {
      azure.refusal = undefined;
    });
    for (const [code, message] of [
      ['KeyDisabled', /is disabled\. Enable it/],
      ['SecretDisabled', /is disabled\. Enable it/],
      ['ForbiddenByFirewall', /from this network: the firewall of the vault refuses/],
      ['ForbiddenByConnection', /from this network: the firewall of the vault refuses/],
      ['ForbiddenByRbac', /may not be used with the credentials found\. Give them/],
      ['ForbiddenByPolicy', /may not be used with the credentials found\. Give them/],
      ['AccessDenied', /may not be used with the credentials found\. Give them/],
      ['SomethingNew', /is disabled, or may not be used with the credentials found, or not from this network/],
      ['constructor', /is disabled, or may not be used with the credentials found, or not from this network/],
    ] as const) {
      azure.refusal = code;
      await t.rejects(open(locator), { code: 'key_denied', message }, code);
      const secret = await openAzureSecret(`azuresecrets://${azure.vault}/secret`, process.env);
      await t.rejects(secret.read(), { code: 'key_denied', message }, code);
    }
  });

  t.test('a wrong client secret', async (t) => {
    setVariables(t, { AZURE_CLIENT_SECRET: 'another' });
    await t.rejects(open(locator), { code: 'key_denied', message: /credentials/ });
  });
});
