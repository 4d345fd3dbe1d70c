/** The SDKs are optional: if one is missing, one sentence names the package and the locator that needs it. */

import { registerHooks } from 'node:module';
import t from 'tap';
import { openSecret, openSigner } from '../../src/locators.ts';

const version = 'projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1';
const askers = [
  ['@aws-sdk/client-kms', () => openSigner('awskms:///alias/a', {}), 'awskms:'],
  ['@google-cloud/kms', () => openSigner(`gcpkms://${version}`, {}), 'gcpkms:'],
  ['@azure/keyvault-keys', () => openSigner('azurekms://vault/key', {}), 'azurekms:'],
  ['@azure/identity', () => openSigner('azurekms://vault/key', {}), 'azurekms:'],
  ['@aws-sdk/client-secrets-manager', () => openSecret('awssecrets://a', {}), 'awssecrets:'],
  ['@google-cloud/secret-manager', () => openSecret('gcpsecrets://projects/p/secrets/s/versions/1', {}), 'gcpsecrets:'],
  ['@azure/keyvault-secrets', () => openSecret('azuresecrets://vault/secret', {}), 'azuresecrets:'],
] as const;

for (const [packageName, open, scheme] of askers)
  t.test(`${packageName} is missing`, async (t) => {
    const hooks = registerHooks({
      resolve(specifier, context, next) {
        if (specifier !== packageName) return next(specifier, context);
        throw Object.assign(new Error(`Cannot find package '${specifier}'`), { code: 'ERR_MODULE_NOT_FOUND' });
      },
    });
    t.teardown(() => hooks.deregister());
    const message = `A locator ${scheme} needs the package ${packageName}, which is not installed. Install it with: npm install ${packageName}`;
    await t.rejects(async () => open(), { code: 'config_invalid', message });
  });
