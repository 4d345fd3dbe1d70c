/** `keygen`: a file that only its owner can read, never overwritten; and keys created in their backends. */

import { spawnSync } from 'node:child_process';
import { createPublicKey } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Environment } from '../../src/environment.ts';
import { publicKeyPem } from '../../src/jws.ts';
import { createKey, openSigner } from '../../src/locators.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { webdist, webdistJson } from '../harness/process.ts';
import { startAws, withoutMoto } from '../harness/stand-ins/aws.ts';
import { startAzure, withoutOpenssl } from '../harness/stand-ins/azure.ts';
import { startGoogle } from '../harness/stand-ins/google.ts';
import { setUpSoftHsm, withoutSoftHsm } from '../harness/stand-ins/softhsm.ts';
import { setVariables } from '../harness/stand-ins/variables.ts';
import { administer, startVault } from '../harness/stand-ins/vault.ts';

t.test('a file', async (t) => {
  const file = join(temporaryFolder(t), 'camping.pem');
  const { code, stdout, stderr } = await webdist(['keygen', '--out', file]);
  t.equal(code, 0);
  const pem = readFileSync(file, 'utf8');
  t.match(pem, /^-----BEGIN PRIVATE KEY-----\n/);
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.equal(stdout, publicKeyPem(createPublicKey(pem)), 'the public half alone on stdout');
  t.notMatch(stdout + stderr, pem.split('\n')[1] ?? '');
  const der = spawnSync('openssl', ['pkey', '-in', file, '-pubout', '-outform', 'DER']).stdout;
  const digest = spawnSync('openssl', ['dgst', '-sha256', '-r'], { input: der, encoding: 'utf8' }).stdout.slice(0, 64);
  t.match(stderr, `Write down its fingerprint: SHA256:${digest}\n`);

  const again = await webdist(['keygen', '--out', file]);
  t.match(again, { code: 1, stdout: '', stderr: /^webdist: .+already exists and was not changed\..+\n$/ });
  t.equal(readFileSync(file, 'utf8'), pem);
  t.match(await webdist(['keygen', '--out', '/none/a.pem']), { code: 1, stderr: /cannot be written \(ENOENT\)/ });
  const other = join(temporaryFolder(t), 'other.pem');
  t.match(await webdistJson(['keygen', '--out', other]), { file: other, fingerprint: /^SHA256:/, publicKey: /PUBLIC/ });
});

/** Creates the key and uses it; creating it again is refused. */
async function makes(t: Test, locator: string, env: Environment = process.env): Promise<void> {
  const made = await createKey(locator, env);
  const signer = await openSigner(made.locator, env);
  t.ok(signer.publicKey.equals(made.publicKey));
  t.equal((await signer.sign(Buffer.from('a'))).length, 64);
  await signer.close();
  await t.rejects(createKey(locator, env), { code: 'state_invalid', message: /This key exists already/ });
  const after = await openSigner(made.locator, env);
  t.ok(after.publicKey.equals(made.publicKey), 'and it is as it was');
  await after.close();
}

t.test('Vault Transit, as a process', async (t) => {
  const vault = await startVault();
  t.teardown(() => vault[Symbol.asyncDispose]());
  await administer(vault.url, vault.rootToken, 'POST', 'sys/mounts/transit', { type: 'transit' });
  const env = { VAULT_ADDR: vault.url, VAULT_TOKEN: vault.rootToken };
  await makes(t, 'hashivault://camping', env);
  const { code, stdout, stderr } = await webdist(['keygen', '--in', 'hashivault://second'], env);
  t.equal(code, 0);
  t.match(stdout, /^-----BEGIN PUBLIC KEY-----\n/);
  t.match(stderr, /WEBDIST_KEY=hashivault:\/\/second .+\nWrite down its fingerprint: SHA256:/);
  t.match(await webdist(['keygen', '--in', 'hashivault://second'], env), { code: 1, stderr: /already/ });
  t.match(await webdistJson(['keygen', '--in', 'hashivault://third'], env), { locator: 'hashivault://third' });
  t.match(await webdist(['keygen', '--in', 'hashivault://a&version=2'], env), { code: 1, stderr: /^webdist: .+\n$/ });
  t.match(await webdist(['keygen', '--in', 'hashivault://b'], { ...env, VAULT_TOKEN: 'hvs.none' }), { code: 1 });
});

t.test('PKCS#11', { skip: withoutSoftHsm }, async (t) => {
  const hsm = setUpSoftHsm(t);
  hsm.addToken('shop');
  const pin = join(hsm.folder, 'pin');
  writeFileSync(pin, hsm.pin);
  const query = `module-path=${hsm.library}&pin-source=${pin}`;
  await makes(t, `pkcs11:token=shop;object=camping?${query}`);
  await makes(t, `pkcs11:token=shop;object=second;id=%07?${query}`);
  const objects = hsm.tool('shop', '--list-objects', '--type', 'privkey').toString();
  t.match(objects, /sensitive, always sensitive, never extractable/);
  await t.rejects(createKey(`pkcs11:token=shop;id=%09?${query}`, process.env), { code: 'config_invalid' });
  const shown = await webdist(
    ['keygen', '--in', `pkcs11:token=shop;object=third?module-path=${hsm.library}&pin-value=${hsm.pin}`],
    {
      SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'],
    },
  );
  t.equal(shown.code, 0, shown.stderr);
  t.notMatch(shown.stdout + shown.stderr, hsm.pin, 'the PIN is not printed');
});

t.test('AWS KMS (moto)', { skip: withoutMoto ?? false }, async (t) => {
  const aws = await startAws();
  t.teardown(() => aws[Symbol.asyncDispose]());
  setVariables(t, aws.variables);
  await makes(t, 'awskms:///alias/camping');
  await t.rejects(createKey('awskms:///1234abcd', process.env), { code: 'config_invalid', message: /alias\/NAME/ });
});

t.test('Google Cloud KMS (stand-in)', async (t) => {
  const google = await startGoogle();
  t.teardown(() => google[Symbol.asyncDispose]());
  const folder = t.testdir({ 'account.json': JSON.stringify(google.credentials) });
  setVariables(t, google.variables(join(folder, 'account.json')));
  const key = 'gcpkms://projects/shop/locations/europe-west3/keyRings/webdist/cryptoKeys/camping/cryptoKeyVersions';
  await makes(t, `${key}/1`);
  await t.rejects(createKey(`${key}/2`, process.env), { code: 'config_invalid', message: /cryptoKeyVersions\/1/ });
});

t.test('Azure Key Vault (stand-in)', { skip: withoutOpenssl ?? false }, async (t) => {
  const azure = await startAzure();
  t.teardown(() => azure[Symbol.asyncDispose]());
  setVariables(t, azure.variables);
  await makes(t, `azurekms://${azure.vault}/camping`);
  await t.rejects(createKey(`azurekms://${azure.vault}/camping/0123456789abcdef0123456789abcdef`, process.env), {
    code: /config_invalid|state_invalid/,
  });
});
