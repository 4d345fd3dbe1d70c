/** The SDKs are optional: if one is missing, one sentence names the package and the setting that needs it. */

import { registerHooks } from 'node:module';
import t from 'tap';
import { openSecret, openSigner } from '../../src/locators.ts';

async function readFromVault() {
  const env = { VAULT_ADDR: 'http://127.0.0.1:1', VAULT_AWS_ROLE: 'webdist' };
  const source = await openSecret('vault+kv://secret/a#key', env);
  return source.read().finally(() => source.close());
}

const version = 'projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1';
const askers = [
  ['@aws-sdk/client-kms', () => openSigner('awskms:///alias/a', {}), 'A locator awskms:'],
  ['@google-cloud/kms', () => openSigner(`gcpkms://${version}`, {}), 'A locator gcpkms:'],
  ['@azure/keyvault-keys', () => openSigner('azurekms://vault/key', {}), 'A locator azurekms:'],
  ['@azure/identity', () => openSigner('azurekms://vault/key', {}), 'A locator azurekms:'],
  ['@aws-sdk/client-secrets-manager', () => openSecret('awssecrets://a', {}), 'A locator awssecrets:'],
  [
    '@google-cloud/secret-manager',
    () => openSecret('gcpsecrets://projects/p/secrets/s/versions/1', {}),
    'A locator gcpsecrets:',
  ],
  ['@azure/keyvault-secrets', () => openSecret('azuresecrets://vault/secret', {}), 'A locator azuresecrets:'],
  ['@aws-sdk/credential-provider-node', readFromVault, 'VAULT_AWS_ROLE'],
  ['@smithy/signature-v4', readFromVault, 'VAULT_AWS_ROLE'],
] as const;

for (const [packageName, open, neededBy] of askers)
  t.test(`${packageName} is missing`, async (t) => {
    const hooks = registerHooks({
      resolve(specifier, context, next) {
        if (specifier !== packageName) return next(specifier, context);
        throw Object.assign(new Error(`Cannot find package '${specifier}'`), { code: 'ERR_MODULE_NOT_FOUND' });
      },
    });
    t.teardown(() => hooks.deregister());
    const message = `${neededBy} needs the package ${packageName}, which is not installed. Install it with: npm install ${packageName}`;
    await t.rejects(async () => open(), { code: 'config_invalid', message });
  });
