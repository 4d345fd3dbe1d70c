/** The table of schemes: what is a locator, which backend it opens, and the messages about anything else. */

import { randomBytes } from 'node:crypto';
import t from 'tap';
import {
  CREATABLE_SCHEMES,
  createKey,
  isLocator,
  isSecretLocator,
  LOCATOR_FORMS,
  openSecret,
  openSigner,
  schemeOf,
} from '../src/locators.ts';

const secrets = ['env', 'file', 'vault+kv', 'awssecrets', 'gcpsecrets', 'azuresecrets'];
const signers = ['hashivault', 'awskms', 'gcpkms', 'azurekms', 'pkcs11'];
const examples = new Map(LOCATOR_FORMS.split(', ').map((example) => [schemeOf(example) ?? '', example]));

t.test('every scheme has one row, whose example has its form and its purpose', async (t) => {
  t.strictSame([...examples.keys()].sort(), [...secrets, ...signers].sort());
  for (const [scheme, example] of examples) {
    t.ok(isLocator(example), example);
    t.equal(isSecretLocator(example), secrets.includes(scheme), `${scheme} is a secret or a signer`);
    t.notOk(isLocator(`${scheme}:`), 'the scheme alone is not a locator');
  }
  t.strictSame([...CREATABLE_SCHEMES].sort(), [...signers].sort(), 'keygen creates keys in every signer');
});

t.test('a locator of one purpose is not opened as the other', async (t) => {
  for (const [scheme, example] of examples)
    await t.rejects(async () => (secrets.includes(scheme) ? openSigner(example, {}) : openSecret(example, {})), {
      code: 'config_invalid',
      message: /^The scheme "[a-z0-9+]+:" does not name a (secret|signer)\.$/,
    });
  t.equal((await openSecret('env://A', { A: 'a' })).backend, 'env');
});

t.test('anything else is refused with a list of the forms, and is not shown: it may be a key', async (t) => {
  const secret = randomBytes(24).toString('base64url');
  for (const [text, said] of [
    ['', /^This is not a locator: it has no scheme\./],
    ['/run/secrets/key.pem', /^This is not a locator: it has no scheme\./],
    ['./key.pem', /^This is not a locator: it has no scheme\./],
    [`-----BEGIN PRIVATE KEY-----\n${secret}`, /^This is not a locator: it has no scheme\./],
    [secret, /^This is not a locator: it has no scheme\./],
    [`keychain://${secret}`, /^No locator has the scheme "keychain:"\./],
    ['hsm:good', /^No locator has the scheme "hsm:"\./],
    ['toString:', /^No locator has the scheme "tostring:"\./],
    ['__proto__://x', /^This is not a locator/],
    ['C:\\key.pem', /^No locator has the scheme "c:"\./],
  ] as const)
    for (const open of [openSecret, openSigner]) {
      const error = await open(text, {}).catch((error) => error);
      t.equal(error.code, 'config_invalid');
      t.match(error.message, said);
      t.match(error.hint, LOCATOR_FORMS);
      t.match(error.hint, 'For a file, write file:// before its absolute path.');
      t.notMatch(error.message, secret);
      t.notOk(isLocator(text));
      t.notOk(isSecretLocator(text));
    }
  for (const [locator, message] of [
    ['file:///a.pem', /^No key can be created under the scheme "file:"\./],
    ['hsm:a', /^No key can be created under the scheme "hsm:"\./],
    ['C:\\a.pem', /^No key can be created under the scheme "c:"\./],
    ['/a.pem', /^This is not a locator: it has no scheme\./],
    ['a.pem', /^This is not a locator: it has no scheme\./],
    ['', /^This is not a locator: it has no scheme\./],
  ] as const)
    await t.rejects(createKey(locator, {}), {
      code: 'usage_invalid',
      message,
      hint: 'Use one of hashivault, awskms, gcpkms, azurekms, pkcs11; for a file, use --out.',
    });
});

t.test('a malformed locator is refused with its form, before anything is read or called', async (t) => {
  for (const locator of [
    'env://%zz',
    'env://A B',
    'file:///%zz',
    'file:///a%00b',
    'file:///a?b',
    'file:///a#b',
    'vault+kv://a/%zz#b',
    'vault+kv://a/b#%zz',
    'hashivault://%zz',
    'hashivault://a?mount=%zz',
    'hashivault://a?mout=b',
    'awssecrets://%zz',
    'awskms:///%zz',
    'awskms://[::1/key',
    'gcpsecrets://projects/%zz',
    'gcpkms://projects/a',
    'azuresecrets://vault/%zz',
    'azurekms://[::1]/key',
    'pkcs11:object=%zz',
    'pkcs11:token=a;token=b',
  ]) {
    const opened: Promise<unknown> = isSecretLocator(locator) ? openSecret(locator, {}) : openSigner(locator, {});
    await t.rejects(opened, { code: 'config_invalid', message: /^An? .*(locator|URI) / }, locator);
  }
});
