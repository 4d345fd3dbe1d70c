/** SDKs are installed on request: if some are missing, one sentence names them all and the setting that needs them. */

import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import t, { type Test } from 'tap';
import { loadSdk } from '../../src/cloud/sdk.ts';
import { createKey, isSecretLocator, LOCATOR_FORMS, openSecret, openSigner, schemeOf } from '../../src/locators.ts';

const schemes: Readonly<Record<string, readonly string[]>> = {
  env: [],
  file: [],
  'vault+kv': [],
  hashivault: [],
  awssecrets: ['@aws-sdk/client-secrets-manager'],
  awskms: ['@aws-sdk/client-kms'],
  gcpsecrets: ['@google-cloud/secret-manager'],
  gcpkms: ['@google-cloud/kms'],
  azuresecrets: ['@azure/identity', '@azure/keyvault-secrets'],
  azurekms: ['@azure/identity', '@azure/keyvault-keys'],
  pkcs11: ['pkcs11js'],
};
/** What a login to Vault with an AWS identity needs. */
const awsLogin = ['@aws-sdk/credential-provider-node', '@smithy/signature-v4'];
const examples = LOCATOR_FORMS.split(', ');

t.test('the table has every scheme, and package.json every package, as an optional peer', async (t) => {
  t.strictSame(Object.keys(schemes).sort(), examples.map((example) => schemeOf(example) ?? '').sort());
  const { peerDependencies, peerDependenciesMeta } = JSON.parse(readFileSync('package.json', 'utf8'));
  const { optionalDependencies: tested } = JSON.parse(readFileSync('docker/sdks/package.json', 'utf8'));
  const packages = [...new Set([...Object.values(schemes).flat(), ...awsLogin])].sort();
  t.strictSame(Object.keys(peerDependencies).sort(), packages);
  for (const name of packages) {
    t.strictSame(peerDependenciesMeta[name], { optional: true }, name);
    t.equal(peerDependencies[name], `^${tested[name]}`, `${name}: the tested version or a compatible one`);
  }
});

/** Makes Node.js behave as if only packages outside this list were installed. */
function without(t: Test, missing: readonly string[]): void {
  const hooks = registerHooks({
    resolve(specifier, context, next) {
      if (!missing.includes(specifier)) return next(specifier, context);
      throw Object.assign(new Error(`Cannot find package '${specifier}'`), { code: 'ERR_MODULE_NOT_FOUND' });
    },
  });
  t.teardown(() => hooks.deregister());
}

for (const example of examples) {
  const scheme = schemeOf(example) ?? '';
  const packages = schemes[scheme] ?? [];
  const open = async () => (isSecretLocator(example) ? openSecret(example, {}) : openSigner(example, {}));
  for (const missing of [packages, packages.slice(1)].filter(({ length }) => length > 0))
    t.test(`${scheme}: without ${missing.join(' and ')}`, async (t) => {
      without(t, missing);
      const needs =
        missing.length > 1 ? `packages ${missing.join(' and ')}, which are` : `package ${missing}, which is`;
      const message = `A locator ${scheme}: needs the ${needs} not installed. Install beside webdist: npm install ${missing.join(' ')}`;
      await t.rejects(open, { code: 'config_invalid', message });
      if (!isSecretLocator(example)) await t.rejects(createKey(example, {}), { code: 'config_invalid', message });
    });
  if (packages.length === 0)
    t.test(`${scheme}: opens with none of the packages`, async (t) => {
      without(t, Object.values(schemes).flat());
      const error = await open().catch((error) => error);
      t.notMatch(error?.message ?? '', /not installed/);
    });
}

for (const missing of [awsLogin, awsLogin.slice(1)])
  t.test(`VAULT_AWS_ROLE: without ${missing.join(' and ')}`, async (t) => {
    without(t, missing);
    const env = { VAULT_ADDR: 'http://127.0.0.1:1', VAULT_AWS_ROLE: 'webdist' };
    const source = await openSecret('vault+kv://secret/a#key', env);
    t.teardown(() => source.close());
    await t.rejects(source.read(), { code: 'config_invalid', message: `npm install ${missing.join(' ')}` });
  });

t.test('a package that is installed but cannot be loaded', async (t) => {
  const broken = loadSdk('pkcs11js', 'A locator pkcs11:', () =>
    Promise.reject(new Error('pkcs11.node was compiled against …')),
  );
  await t.rejects(broken, {
    code: 'config_invalid',
    message:
      'A locator pkcs11: needs the package pkcs11js, which cannot be loaded. Build it again: npm rebuild pkcs11js',
  });
});
