/** Every backend of keys with its own server, and the faults of the backend or of the access to it. */

import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { CreateSecretCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import type { Test } from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { startAws, withoutMoto } from '../../harness/stand-ins/aws.ts';
import { startAzure, withoutOpenssl } from '../../harness/stand-ins/azure.ts';
import { type Fault, LEAK } from '../../harness/stand-ins/fault.ts';
import { startGoogle } from '../../harness/stand-ins/google.ts';
import { setUpSoftHsm, withoutSoftHsm } from '../../harness/stand-ins/softhsm.ts';
import { setVariables } from '../../harness/stand-ins/variables.ts';
import { administer, startVault } from '../../harness/stand-ins/vault.ts';

/** Ways in which credentials are bad; each stand-in has a file or a variable with them. */
type Credentials = 'good' | 'missing' | 'wrong';
/** A key in a backend. */
export type Subject = {
  readonly locator: string;
  fault?(fault: Fault | undefined): void;
  credentials?(state: Credentials): void;
  readonly secrets: readonly string[];
  /** The faults of a backend that is not a server; default: those of a server. */
  readonly troubles?: readonly Trouble[];
  /** A change is noticed after this time, without a check. */
  readonly watchSeconds?: number;
  /** A login stays valid, whatever happens to the credentials with which it was made. */
  readonly keepsLogin?: boolean;
};

const pem = (namedCurve = 'P-256') =>
  generateKeyPairSync('ec', { namedCurve }).privateKey.export({ format: 'pem', type: 'pkcs8' }) as string;

async function vault(t: Test, mount: 'kv' | 'transit'): Promise<Subject> {
  const server = await startVault();
  t.teardown(() => server[Symbol.asyncDispose]());
  const admin = (path: string, body: object) => administer(server.url, server.rootToken, 'POST', path, body);
  await admin(`sys/mounts/${mount}`, { type: mount });
  if (mount === 'kv') await admin('kv/data/shop', { data: { key: pem() } });
  else await admin('transit/keys/shop', { type: 'ecdsa-p256' });
  const file = join(temporaryFolder(t), 'token');
  setVariables(t, { VAULT_ADDR: server.url, VAULT_TOKEN_FILE: file });
  return {
    locator: mount === 'kv' ? 'vault+kv://kv/shop#key' : 'hashivault://shop',
    fault: (fault) => {
      server.fault = fault;
    },
    credentials: (state) =>
      writeOrRemove(file, { good: server.rootToken, wrong: 'hvs.wrong', missing: undefined }[state]),
    secrets: [server.rootToken],
    keepsLogin: mount === 'kv',
  };
}

async function aws(t: Test, service: 'kms' | 'secrets'): Promise<Subject> {
  const server = await startAws();
  t.teardown(() => server[Symbol.asyncDispose]());
  setVariables(t, server.variables);
  const file = join(temporaryFolder(t), 'credentials');
  const kms = new KMSClient();
  const manager = new SecretsManagerClient();
  t.teardown(() => {
    kms.destroy();
    manager.destroy();
  });
  const keyId =
    service === 'kms'
      ? (await kms.send(new CreateKeyCommand({ KeySpec: 'ECC_NIST_P256', KeyUsage: 'SIGN_VERIFY' }))).KeyMetadata?.KeyId
      : (await manager.send(new CreateSecretCommand({ Name: 'shop', SecretString: pem() }))).Name;
  const { AWS_ACCESS_KEY_ID: id = '', AWS_SECRET_ACCESS_KEY: secret = '' } = server.variables;
  // From now on the credentials are in a file, which can change while the process runs.
  setVariables(t, {
    AWS_ACCESS_KEY_ID: '',
    AWS_SECRET_ACCESS_KEY: '',
    AWS_SESSION_TOKEN: '',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_SHARED_CREDENTIALS_FILE: file,
    AWS_CONFIG_FILE: '/dev/null',
  });
  const credentials = (id: string) => `[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`;
  return {
    locator: service === 'kms' ? `awskms:///${keyId}` : 'awssecrets://shop',
    fault: (fault) => {
      server.fault = fault;
    },
    credentials: (state) =>
      writeOrRemove(
        file,
        { good: credentials(id), wrong: credentials('AKIAWRONGWRONGWRONG0'), missing: undefined }[state],
      ),
    secrets: server.confidential,
  };
}

async function google(t: Test, service: 'kms' | 'secrets'): Promise<Subject> {
  const server = await startGoogle();
  t.teardown(() => server[Symbol.asyncDispose]());
  const file = join(temporaryFolder(t), 'account.json');
  setVariables(t, server.variables(file));
  const secret = 'projects/shop/secrets/key/versions/1';
  const key = 'projects/shop/locations/europe-west3/keyRings/webdist/cryptoKeys/key/cryptoKeyVersions/1';
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  if (service === 'kms') server.keys.set(key, { privateKey, algorithm: 'EC_SIGN_P256_SHA256' });
  else server.secrets.set(secret, pem());
  const otherKey = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  });
  const wrong = JSON.stringify({ ...server.credentials, private_key: otherKey });
  return {
    locator: service === 'kms' ? `gcpkms://${key}` : `gcpsecrets://${secret}`,
    fault: (fault) => {
      server.fault = fault;
    },
    credentials: (state) =>
      writeOrRemove(file, { good: JSON.stringify(server.credentials), wrong, missing: undefined }[state]),
    secrets: server.confidential,
  };
}

async function azure(t: Test, service: 'kms' | 'secrets'): Promise<Subject> {
  const server = await startAzure();
  t.teardown(() => server[Symbol.asyncDispose]());
  // The rest of the chain tries programs and addresses that do not exist here.
  setVariables(t, { ...server.variables, AZURE_TOKEN_CREDENTIALS: 'EnvironmentCredential' });
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  if (service === 'kms') server.keys.set('key', [{ version: randomBytes(16).toString('hex'), privateKey }]);
  else server.secrets.set('key', pem());
  const good = server.variables['AZURE_CLIENT_SECRET'] ?? '';
  return {
    locator: `${service === 'kms' ? 'azurekms' : 'azuresecrets'}://${server.vault}/key`,
    fault: (fault) => {
      server.fault = fault;
    },
    credentials(state) {
      process.env['AZURE_CLIENT_SECRET'] = { good, wrong: 'wrong', missing: '' }[state];
    },
    secrets: server.confidential,
  };
}

/** A key in a file; a fault replaces the file. */
async function file(t: Test): Promise<Subject> {
  const path = join(temporaryFolder(t), 'key.pem');
  const text = pem();
  writeFileSync(path, text);
  const trouble = (name: string, replace: () => void): Trouble => ({
    name,
    begin() {
      rmSync(path);
      replace();
    },
    end() {
      rmSync(path, { recursive: true, force: true });
      writeFileSync(path, text);
    },
  });
  return {
    locator: pathToFileURL(path).href,
    secrets: [],
    watchSeconds: 2,
    troubles: [
      trouble('missing, or late', () => undefined),
      trouble('silent (a pipe)', () => execFileSync('mkfifo', [path])),
      trouble('a folder of this name', () => mkdirSync(path)),
      trouble('a broken file that contains a key', () => writeFileSync(path, `<html>${LEAK}</html>`)),
      trouble('too large', () => writeFileSync(path, 'x'.repeat(100_000))),
      trouble('a key on another curve', () => writeFileSync(path, pem('P-384'))),
    ],
  };
}

/** A key in an HSM: SoftHSM2, whose token and PIN are in files. */
async function pkcs11(t: Test): Promise<Subject> {
  const hsm = setUpSoftHsm(t);
  hsm.addToken('shop');
  hsm.addKey('shop', 'EC:prime256v1', 'good', '01');
  const pin = join(hsm.folder, 'pin');
  const tokens = join(hsm.folder, 'tokens');
  writeFileSync(pin, hsm.pin);
  const credentials = (name: string, text: () => string | undefined): Trouble => ({
    name,
    begin: () => writeOrRemove(pin, text()),
    end: () => writeOrRemove(pin, hsm.pin),
  });
  return {
    locator: `pkcs11:token=shop;object=good?module-path=${hsm.library}&pin-source=${pin}`,
    secrets: [hsm.pin],
    keepsLogin: true,
    troubles: [
      credentials('the file with the PIN missing, or late', () => undefined),
      // A different PIN each time, because a refused one is not tried again.
      credentials('the PIN wrong', () => String(randomInt(1e9, 1e10))),
      {
        name: 'the token removed, or away for ten seconds',
        begin: () => renameSync(tokens, `${tokens}-away`),
        end: () => renameSync(`${tokens}-away`, tokens),
      },
    ],
  };
}

function writeOrRemove(file: string, text: string | undefined): void {
  if (text === undefined) rmSync(file, { force: true });
  else writeFileSync(file, text);
}

export const subjects: readonly [string, string | false | undefined, (t: Test) => Promise<Subject>][] = [
  ['vault+kv', false, (t) => vault(t, 'kv')],
  ['hashivault', false, (t) => vault(t, 'transit')],
  ['awssecrets', withoutMoto, (t) => aws(t, 'secrets')],
  ['awskms', withoutMoto, (t) => aws(t, 'kms')],
  ['gcpsecrets', false, (t) => google(t, 'secrets')],
  ['gcpkms', false, (t) => google(t, 'kms')],
  ['azuresecrets', withoutOpenssl, (t) => azure(t, 'secrets')],
  ['azurekms', withoutOpenssl, (t) => azure(t, 'kms')],
  ['file', false, file],
  ['pkcs11', withoutSoftHsm, pkcs11],
];

/** The functions that begin and end a fault of a backend. */
export type Trouble = { readonly name: string; begin(subject: Subject): void; end(subject: Subject): void };

const fault = (name: string, fault: Fault): Trouble => ({
  name,
  begin: (subject) => subject.fault?.(fault),
  end: (subject) => subject.fault?.(undefined),
});
const credentials = (name: string, state: Credentials): Trouble => ({
  name,
  begin: (subject) => subject.credentials?.(state),
  end: (subject) => subject.credentials?.('good'),
});

/** The faults of a server. */
export const troublesOfServers: readonly Trouble[] = [
  credentials('credentials missing, or late', 'missing'),
  credentials('credentials wrong', 'wrong'),
  fault('credentials expired', 'expired'),
  fault('access denied', 'denied'),
  fault('unreachable, or away for ten seconds', 'dropped'),
  fault('silent before the headers', 'slow'),
  fault('silent after the headers', 'stalled'),
  fault('a broken body that contains a key', 'leaking'),
  fault('throttled', 'throttled'),
  fault('failing (5xx)', 'broken'),
  fault("another server's 404", 'foreign404'),
  fault("another server's 403", 'foreign403'),
];
