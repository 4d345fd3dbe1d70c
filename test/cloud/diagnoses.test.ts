/** Mistakes in the settings of a vendor, each with a message of its own: regions, credentials, certificates and addresses. */

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ErrorCode } from '../../src/errors.ts';
import { isSecretLocator, openSecret, openSigner } from '../../src/locators.ts';
import { noOpenssl, writeCertificate } from '../harness/certificates.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { listen } from '../harness/port.ts';
import { setVariables } from '../harness/stand-ins/variables.ts';

type Row = readonly [variables: Record<string, string>, message: RegExp, code?: ErrorCode];

/**
 * Opens a locator, and reads it if it names a secret. `variables` are set in this process, too, because vendors' libraries
 * read them.
 */
async function diagnoses(t: Test, locator: string, rows: readonly Row[]) {
  for (const [variables, message, code = 'key_unreachable'] of rows)
    await t.test(JSON.stringify(variables), async (t) => {
      setVariables(t, variables);
      const opened: Promise<unknown> = isSecretLocator(locator)
        ? openSecret(locator, process.env).then((source) => source.read())
        : openSigner(locator, process.env);
      await t.rejects(opened, { code, message });
    });
}

/** Starts a server with a certificate that is not trusted. */
async function startUntrusted(t: Test): Promise<string> {
  const { key, certificate } = writeCertificate(temporaryFolder(t));
  const server = createServer({ key: readFileSync(key), cert: readFileSync(certificate) });
  t.teardown(() => server.close());
  return `https://localhost:${await listen(server)}`;
}

const untrusted = /its certificate is not trusted\. Set [A-Z_ or]+ to the PEM file of its authority/;

t.test('AWS', { skip: noOpenssl }, async (t) => {
  const account = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'x', AWS_CONFIG_FILE: '/dev/null' };
  setVariables(t, { ...account, AWS_EC2_METADATA_DISABLED: 'true' });
  const region = /needs a region\. Set AWS_REGION, or use an ARN\./;
  for (const locator of ['awskms:///alias/shop', 'awssecrets://shop'])
    await diagnoses(t, locator, [
      [{ AWS_REGION: '' }, region],
      [{ AWS_REGION: '  ' }, region],
      [{ AWS_REGION: 'eu west' }, region],
      [{ AWS_REGION: 'eu-west-1', AWS_ENDPOINT_URL: await startUntrusted(t) }, untrusted],
      [{ AWS_REGION: 'eu-west-1', AWS_CA_BUNDLE: '/none' }, /^AWS_CA_BUNDLE: the file \/none cannot/, 'config_invalid'],
      [
        { AWS_REGION: 'eu-west-1', AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_PROFILE: 'none' },
        /no AWS credentials were found/,
      ],
    ]);
});

t.test('Google', { skip: noOpenssl }, async (t) => {
  const folder = temporaryFolder(t);
  const fileWith = (text: string) => {
    const path = join(folder, `${Math.random()}.json`);
    writeFileSync(path, text);
    return { GOOGLE_APPLICATION_CREDENTIALS: path };
  };
  const account = (privateKey: string) =>
    JSON.stringify({ type: 'service_account', client_email: 'a@b', private_key: privateKey });
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const pem = String(privateKey.export({ format: 'pem', type: 'pkcs8' }));
  const damaged = /that GOOGLE_APPLICATION_CREDENTIALS names are damaged/;
  await diagnoses(t, 'gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1', [
    [fileWith(''), damaged],
    [fileWith('{}'), damaged],
    [fileWith('null'), damaged],
    [fileWith(account(pem).slice(0, 300)), damaged],
    [fileWith(account('nonsense')), damaged],
    [fileWith(account(pem.replace(/\n.{8}/, '\nAAAAAAAA'))), damaged],
    [{ GOOGLE_APPLICATION_CREDENTIALS: '/none' }, /that GOOGLE_APPLICATION_CREDENTIALS names do not exist/],
    [{ ...fileWith(account(pem)), CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS: `${await startUntrusted(t)}/` }, untrusted],
    [
      { ...fileWith(account(pem)), CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDKMS: 'http://kms.example.com/' },
      /must be https:\/\/HOST\//,
      'config_invalid',
    ],
  ]);
});

t.test('Vault', { skip: noOpenssl }, async (t) => {
  const VAULT_ADDR = await startUntrusted(t);
  setVariables(t, { VAULT_TOKEN: 'x' });
  const noAddress = /needs VAULT_ADDR, such as https:/;
  for (const locator of ['vault+kv://a/b#c', 'hashivault://a'])
    await diagnoses(t, locator, [
      [{ VAULT_ADDR }, untrusted],
      [{ VAULT_ADDR, VAULT_SKIP_VERIFY: 'true' }, /VAULT_SKIP_VERIFY has no effect/],
      [{ VAULT_ADDR: VAULT_ADDR.replace('https', 'http') }, /the connection was closed/],
      [{ VAULT_ADDR, VAULT_CACERT: '/none' }, /^VAULT_CACERT: the file \/none cannot be read\./, 'config_invalid'],
      [{ VAULT_ADDR: 'localhost:8200' }, noAddress, 'config_invalid'],
      [{ VAULT_ADDR: '' }, noAddress, 'config_invalid'],
    ]);
});
