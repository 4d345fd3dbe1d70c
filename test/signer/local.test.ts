/** Keys that sign in this process: the contract, with the text read from a file and from a variable. */

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { spki } from '../../src/jws.ts';
import { openSecret } from '../../src/locators.ts';
import { openLocalSigner } from '../../src/signer/local.ts';
import { signerContract } from './contract.ts';

const newKey = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve });
const pem = (key: KeyObject) => key.export({ format: 'pem', type: 'pkcs8' }).toString();

const open = async (locator: string, env = {}) => {
  const source = await openSecret(locator, env);
  return openLocalSigner(await source.read(), source.backend).signer;
};

/** Lines of the key's body, which a leak would show. */
const linesOf = (text: string) => text.split('\n').filter((line) => line !== '' && !line.startsWith('-----'));

t.test('file', (t) =>
  signerContract(t, async (t) => {
    const good = pem(newKey('P-256').privateKey);
    const other = pem(newKey('P-384').privateKey);
    const folder = t.testdir({ good, other, garbage: 'not a key' });
    const at = (name: string) => pathToFileURL(join(folder, name)).href;
    return {
      backend: 'file',
      named: /file|private key|PEM/,
      open: () => open(at('good')),
      refusals: {
        absent: () => open(at('none')),
        wrongCurve: () => open(at('other')),
        malformed: () => open(at('garbage')),
        malformedLocator: () => open('file://elsewhere/good'),
      },
      secrets: linesOf(good + other),
    };
  }),
);

t.test('env', (t) =>
  signerContract(t, async () => {
    const good = pem(newKey('P-256').privateKey);
    const env = { GOOD: Buffer.from(good).toString('base64'), OTHER: pem(newKey('secp256k1').privateKey), BAD: 'x' };
    return {
      backend: 'env',
      named: /variable|private key|PEM|env/,
      open: () => open('env://GOOD', env),
      refusals: {
        absent: () => open('env://NONE', env),
        wrongCurve: () => open('env://OTHER', env),
        malformed: () => open('env://BAD', env),
        malformedLocator: () => open('env://not-a-name', env),
      },
      secrets: linesOf(good),
    };
  }),
);

t.test('the public half belongs to the private half', async (t) => {
  const { privateKey, publicKey } = newKey('P-256');
  const { signer, repairs } = openLocalSigner(pem(privateKey), 'file');
  t.equal(spki(signer.publicKey), spki(publicKey));
  t.same(repairs, []);
  await signer.close();
});

t.test('halves that do not belong together are refused', async (t) => {
  const [mine, theirs] = [newKey('P-256'), newKey('P-256')];
  const der = mine.privateKey.export({ format: 'der', type: 'pkcs8' });
  const point = (key: KeyObject) => key.export({ format: 'der', type: 'spki' }).subarray(-65);
  const at = der.indexOf(point(mine.publicKey));
  point(theirs.publicKey).copy(der, at);
  const mixed = `-----BEGIN PRIVATE KEY-----\n${der.toString('base64')}\n-----END PRIVATE KEY-----\n`;
  t.not(at, -1);
  t.throws(() => openLocalSigner(mixed, 'file'), { code: 'key_invalid', message: /do not belong together/ });
});
