/**
 * A whole service with every kind of locator (docs/keys/README.md), for the distribution key and for the App Store Connect
 * API key: it registers the public half, signs tokens that the simulated device accepts, shows no private key, and stops
 * when the key is removed. A backend whose tools are missing here is skipped by name.
 */

import { generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CreateKeyCommand, DisableKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { CreateSecretCommand, DeleteSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import t, { type Test } from 'tap';
import type { Environment } from '../../src/environment.ts';
import { publicKeyPem } from '../../src/jws.ts';
import { openLog } from '../../src/log.ts';
import { openCandidate } from '../../src/registration/candidates.ts';
import { openSandbox } from '../../src/sandbox/sandbox.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';
import { startAws, withoutMoto } from '../harness/stand-ins/aws.ts';
import { startAzure, withoutOpenssl } from '../harness/stand-ins/azure.ts';
import { startGoogle } from '../harness/stand-ins/google.ts';
import { setUpSoftHsm, withoutSoftHsm } from '../harness/stand-ins/softhsm.ts';
import { setVariables } from '../harness/stand-ins/variables.ts';
import { administer, startVault } from '../harness/stand-ins/vault.ts';

/** Two keys in one backend, and how to remove the first one. */
type Place = {
  readonly key: string;
  readonly apiKey: string;
  readonly env?: Environment;
  /** Private halves that pass through this process, to search the output for. */
  readonly privateKeys?: readonly KeyObject[];
  readonly secrets?: readonly string[];
  /** Absent where it cannot be removed from a running process. */
  remove?(): Promise<void> | void;
};

const newKey = () => generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
const pemOf = (key: KeyObject) => key.export({ format: 'pem', type: 'pkcs8' }) as string;

const places: Record<string, { skip?: string | false | undefined; open(t: Test): Promise<Place> }> = {
  env: {
    async open() {
      const [key, apiKey] = [newKey(), newKey()];
      return {
        key: 'env://DISTRIBUTION_KEY',
        apiKey: 'env://API_KEY',
        env: { DISTRIBUTION_KEY: pemOf(key), API_KEY: pemOf(apiKey) },
        privateKeys: [key, apiKey],
      };
    },
  },
  file: {
    async open(t) {
      const folder = temporaryFolder(t);
      const [key, apiKey] = [newKey(), newKey()];
      writeFileSync(join(folder, 'key.pem'), pemOf(key));
      writeFileSync(join(folder, 'api.pem'), pemOf(apiKey));
      return {
        key: `file://${folder}/key.pem`,
        apiKey: `file://${folder}/api.pem`,
        privateKeys: [key, apiKey],
        remove: () => unlinkSync(join(folder, 'key.pem')),
      };
    },
  },
  'vault+kv': {
    async open(t) {
      const { admin, env, secrets } = await vault(t, 'kv');
      const [key, apiKey] = [newKey(), newKey()];
      await admin('POST', 'kv/data/key', { data: { pem: pemOf(key) } });
      await admin('POST', 'kv/data/api', { data: { pem: pemOf(apiKey) } });
      return {
        key: 'vault+kv://kv/key#pem',
        apiKey: 'vault+kv://kv/api#pem',
        env,
        privateKeys: [key, apiKey],
        secrets,
        remove: () => admin('DELETE', 'kv/data/key'),
      };
    },
  },
  hashivault: {
    async open(t) {
      const { admin, env, secrets } = await vault(t, 'transit');
      for (const name of ['key', 'api']) await admin('POST', `transit/keys/${name}`, { type: 'ecdsa-p256' });
      return {
        key: 'hashivault://key',
        apiKey: 'hashivault://api',
        env,
        secrets,
        // Another key replaced it under the same name, so the registered version no longer exists.
        remove: async () => {
          await admin('POST', 'transit/keys/key', { type: 'ecdsa-p256' });
        },
      };
    },
  },
  awssecrets: {
    skip: withoutMoto,
    async open(t) {
      const aws = await startAws();
      t.teardown(() => aws[Symbol.asyncDispose]());
      setVariables(t, aws.variables);
      const client = new SecretsManagerClient();
      t.teardown(() => client.destroy());
      const [key, apiKey] = [newKey(), newKey()];
      await client.send(new CreateSecretCommand({ Name: 'key', SecretString: pemOf(key) }));
      await client.send(new CreateSecretCommand({ Name: 'api', SecretString: pemOf(apiKey) }));
      return {
        key: 'awssecrets://key',
        apiKey: 'awssecrets://api',
        privateKeys: [key, apiKey],
        secrets: aws.confidential,
        remove: async () => {
          await client.send(new DeleteSecretCommand({ SecretId: 'key', ForceDeleteWithoutRecovery: true }));
        },
      };
    },
  },
  awskms: {
    skip: withoutMoto,
    async open(t) {
      const aws = await startAws();
      t.teardown(() => aws[Symbol.asyncDispose]());
      setVariables(t, aws.variables);
      const client = new KMSClient();
      t.teardown(() => client.destroy());
      const make = async () =>
        (await client.send(new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }))).KeyMetadata
          ?.KeyId ?? '';
      const [key, apiKey] = [await make(), await make()];
      return {
        key: `awskms:///${key}`,
        apiKey: `awskms:///${apiKey}`,
        secrets: aws.confidential,
        remove: async () => {
          await client.send(new DisableKeyCommand({ KeyId: key }));
          // Moto keeps signing with a disabled key; AWS returns this error.
          aws.error = { name: 'DisabledException', message: 'The key is disabled.' };
        },
      };
    },
  },
  gcpsecrets: {
    async open(t) {
      const google = await useGoogle(t);
      const [key, apiKey] = [newKey(), newKey()];
      google.secrets.set('projects/shop/secrets/key/versions/1', pemOf(key));
      google.secrets.set('projects/shop/secrets/api/versions/1', pemOf(apiKey));
      return {
        key: 'gcpsecrets://projects/shop/secrets/key/versions/1',
        apiKey: 'gcpsecrets://projects/shop/secrets/api/versions/1',
        privateKeys: [key, apiKey],
        secrets: google.confidential,
        remove: () => void google.secrets.delete('projects/shop/secrets/key/versions/1'),
      };
    },
  },
  gcpkms: {
    async open(t) {
      const google = await useGoogle(t);
      const ring = 'projects/shop/locations/europe-west3/keyRings/webdist/cryptoKeys';
      const [key, apiKey] = [`${ring}/key/cryptoKeyVersions/1`, `${ring}/api/cryptoKeyVersions/1`];
      for (const name of [key, apiKey])
        google.keys.set(name, { privateKey: newKey(), algorithm: 'EC_SIGN_P256_SHA256' });
      return {
        key: `gcpkms://${key}`,
        apiKey: `gcpkms://${apiKey}`,
        secrets: google.confidential,
        remove: () => void google.keys.delete(key),
      };
    },
  },
  azuresecrets: {
    skip: withoutOpenssl,
    async open(t) {
      const azure = await useAzure(t);
      const [key, apiKey] = [newKey(), newKey()];
      azure.secrets.set('key', pemOf(key));
      azure.secrets.set('api', pemOf(apiKey));
      return {
        key: `azuresecrets://${azure.vault}/key`,
        apiKey: `azuresecrets://${azure.vault}/api`,
        privateKeys: [key, apiKey],
        secrets: azure.confidential,
        remove: () => void azure.secrets.delete('key'),
      };
    },
  },
  azurekms: {
    skip: withoutOpenssl,
    async open(t) {
      const azure = await useAzure(t);
      for (const name of ['key', 'api'])
        azure.keys.set(name, [{ version: randomBytes(16).toString('hex'), privateKey: newKey() }]);
      return {
        key: `azurekms://${azure.vault}/key`,
        apiKey: `azurekms://${azure.vault}/api`,
        secrets: azure.confidential,
        remove: () => void azure.keys.delete('key'),
      };
    },
  },
  pkcs11: {
    skip: withoutSoftHsm,
    async open(t) {
      const hsm = setUpSoftHsm(t);
      hsm.addToken('shop');
      hsm.addKey('shop', 'EC:prime256v1', 'key', '01');
      hsm.addKey('shop', 'EC:prime256v1', 'api', '02');
      const pinFile = join(hsm.folder, 'pin');
      writeFileSync(pinFile, hsm.pin);
      const query = `module-path=${hsm.library}&pin-source=${pinFile}`;
      return {
        key: `pkcs11:token=shop;object=key?${query}`,
        apiKey: `pkcs11:token=shop;object=api?${query}`,
        secrets: [hsm.pin],
        remove: () => {
          for (const type of ['privkey', 'pubkey']) hsm.tool('shop', '--delete-object', '--type', type, '--id', '01');
        },
      };
    },
  },
};

for (const [scheme, { skip = false, open }] of Object.entries(places))
  t.test(scheme, { skip }, async (t) => {
    const { key, apiKey, env = {}, privateKeys = [], secrets = [], remove } = await open(t);
    const settings = { ...process.env, ...env, WEBDIST_KEY: key, ASC_PRIVATE_KEY: apiKey, ASC_PRIVATE_KEY_B64: '' };
    const sandbox = await sandboxWith(t, await publicHalf(apiKey, settings));
    const { service, url, log } = await startReady(t, sandbox, settings);
    await service.reconcile();

    const { keys } = service.jwks();
    const held = await publicHalf(key, settings);
    const { x, y } = held.export({ format: 'jwk' });
    t.match(keys, [{ x, y }], 'the registered public half is that of the key');
    const seen: string[] = [];
    for (let index = 0; index < 5; index++) {
      const answer = await askToken(url);
      t.equal(answer.status, 200);
      const { token } = (await answer.json()) as { token: string };
      t.equal((await sandbox.device({ token })).accepted, true, 'the device accepts the token');
    }
    if (remove) {
      await remove();
      await service.reconcile();
      const refused = await askToken(url);
      t.equal(refused.status, 503, 'without the key nothing is signed');
      seen.push(await refused.text());
    }
    for (const path of ['/health/ready', '/metrics', '/.well-known/jwks.json', '/openapi.json'])
      seen.push(await (await fetch(url + path)).text());
    const written = log.text() + seen.join('\n');
    for (const secret of [...privateKeys.flatMap(formsOf), ...secrets])
      t.notOk(written.includes(secret), 'no secret is shown');
    t.notMatch(written, /PRIVATE KEY-----/);
  });

t.test(
  'while the backend of the only key is away, the service is not ready; it is again with the next signature',
  async (t) => {
    const { server, admin, env } = await vault(t, 'transit');
    await admin('POST', 'transit/keys/key', { type: 'ecdsa-p256' });
    const { service, url } = await startReady(t, await startSandbox(t), { ...env, WEBDIST_KEY: 'hashivault://key' });
    const ready = async () => (await fetch(`${url}/health/ready`)).status;
    t.equal(await ready(), 200);
    server.fault = 'dropped';
    await service.reconcile();
    t.equal(await ready(), 503);
    server.fault = 'throttled';
    await service.reconcile();
    t.equal(await ready(), 200, 'throttling is not failure');
    server.fault = 'dropped';
    await service.reconcile();
    t.equal(await ready(), 503);
    server.fault = undefined;
    t.equal((await askToken(url)).status, 200);
    t.equal(await ready(), 200, 'at once, without a check');
  },
);

t.test('a key to which its backend adds versions is reported once', async (t) => {
  const { admin, env } = await vault(t, 'transit');
  await admin('POST', 'transit/keys/key', { type: 'ecdsa-p256' });
  const { service, log } = await startReady(t, await startSandbox(t), { ...env, WEBDIST_KEY: 'hashivault://key' });
  const reported = () => log.events('key_rotates_itself').map((line) => JSON.parse(line));
  t.strictSame(reported(), []);
  await admin('POST', 'transit/keys/key/config', { auto_rotate_period: 86_400 });
  await service.reconcile();
  await service.reconcile();
  t.match(reported(), [
    { backend: 'hashivault', msg: /gets a new version from Vault every 24 h/, hint: /auto_rotate_period=0/ },
  ]);
  t.equal(reported().length, 1);
  await admin('POST', 'transit/keys/key/rotate', {});
  await service.reconcile();
  t.equal(service.health().ready, true, 'the registered version still signs');
});

/** The forms in which a private key could appear in a text. */
const formsOf = (key: KeyObject): string[] => {
  const { d = '' } = key.export({ format: 'jwk' });
  const body = pemOf(key).split('\n').slice(1, 3);
  return [d, Buffer.from(d, 'base64url').toString('hex'), ...body.map((line) => line.slice(0, 60))];
};

async function publicHalf(locator: string, env: Environment): Promise<KeyObject> {
  const candidate = await openCandidate(locator, { env, log: openLog('silent') });
  try {
    if (candidate.problem) throw candidate.problem;
    if (!candidate.signer) throw new Error('no signer');
    return candidate.signer.publicKey;
  } finally {
    await candidate.close();
  }
}

/** A simulated account whose team API key has this public half; the private half is only in the backend. */
async function sandboxWith(t: Test, apiKey: KeyObject) {
  const dataDir = temporaryFolder(t);
  await (await openSandbox({ dataDir })).close();
  const path = join(dataDir, 'sandbox.json');
  const state = JSON.parse(readFileSync(path, 'utf8')) as { apiKeys: { kind: string; privateKeyPem: string }[] };
  for (const one of state.apiKeys) if (one.kind === 'team') one.privateKeyPem = publicKeyPem(apiKey);
  writeFileSync(path, JSON.stringify(state));
  const sandbox = await openSandbox({ dataDir });
  t.teardown(() => sandbox.close());
  return sandbox;
}

async function vault(t: Test, type: 'kv' | 'transit') {
  const server = await startVault();
  t.teardown(() => server[Symbol.asyncDispose]());
  const { url, rootToken } = server;
  const admin = (method: string, path: string, body?: object) => administer(url, rootToken, method, path, body);
  await admin('POST', `sys/mounts/${type}`, { type });
  return { server, admin, env: { VAULT_ADDR: url, VAULT_TOKEN: rootToken }, secrets: [rootToken] };
}

async function useGoogle(t: Test) {
  const google = await startGoogle();
  t.teardown(() => google[Symbol.asyncDispose]());
  const path = join(temporaryFolder(t), 'account.json');
  writeFileSync(path, JSON.stringify(google.credentials));
  setVariables(t, google.variables(path));
  return google;
}

async function useAzure(t: Test) {
  const azure = await startAzure();
  t.teardown(() => azure[Symbol.asyncDispose]());
  setVariables(t, azure.variables);
  return azure;
}
