/** PKCS#11 with SoftHSM2: the contract, how a key is found, and lost sessions. */

import { execFileSync } from 'node:child_process';
import { readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import t from 'tap';
import { spki } from '../../src/jws.ts';
import { openSigner } from '../../src/locators.ts';
import { type GuardedSigner, guard } from '../../src/signer/guarded.ts';
import { openPkcs11 } from '../../src/signer/pkcs11.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { setUpSoftHsm, withoutSoftHsm } from '../harness/stand-ins/softhsm.ts';
import { signerContract } from './contract.ts';
import { openOn, pkcs11Subject } from './pkcs11-subject.ts';

t.test('SoftHSM2', { skip: withoutSoftHsm }, async (t) => {
  const hsm = setUpSoftHsm(t);
  const serial = hsm.addToken('shop');
  hsm.addKey('shop', 'EC:prime256v1', 'good', '01');
  hsm.addKey('shop', 'EC:secp384r1', 'p384', '02');
  hsm.addKey('shop', 'rsa:2048', 'rsa', '03');
  hsm.addKey('shop', 'EC:prime256v1', 'twice', '04');
  hsm.addKey('shop', 'EC:prime256v1', 'twice', '05');
  hsm.addKey('shop', 'EC:prime256v1', 'alone', '06');
  hsm.tool('shop', '--delete-object', '--type', 'pubkey', '--id', '06');
  const pinFile = join(hsm.folder, 'pin');
  writeFileSync(pinFile, `${hsm.pin}\n`);
  const open = (path: string, query = `pin-source=${pinFile}`) => openOn(hsm)(path, query);

  // One stays open throughout, as in a server, which opens a new one before it closes the old one.
  const first = await open('token=shop;object=good');
  t.teardown(() => first.close());

  await signerContract(t, async () => pkcs11Subject(hsm, 'alone'));

  await t.test('a PIN file that is not there yet, or is not a file, says nothing about the key', async (t) => {
    for (const [path, message] of [
      ['/none', /The file \/none with the PIN of the PKCS#11 token does not exist\./],
      ['/dev/zero', /is a pipe or a device\./],
      [hsm.folder, /is a directory\./],
    ] as const)
      await t.rejects(open('token=shop;object=good', `pin-source=${path}`), { code: 'key_unreachable', message });
  });

  await t.test('the key is found by the attributes in the URI', async (t) => {
    const same = async (path: string) => {
      const signer = await open(path);
      t.equal(spki(signer.publicKey), spki(first.publicKey), path);
      await signer.close();
    };
    await same('token=shop;id=%01');
    await same(`serial=${serial};object=good;id=%01;type=private`);
    await same('manufacturer=SoftHSM%20project;model=SoftHSM%20v2;object=good');
    await t.rejects(open('token=shop;object=good;id=%02'), { code: 'key_absent' });
    await t.rejects(open('token=shop;object=good;slot-id=1'), { code: 'key_unreachable' });
  });

  await t.test('an RSA key and an ambiguous name are refused', async (t) => {
    await t.rejects(open('token=shop;object=rsa'), { code: 'key_invalid', message: /EC key on the curve P-256/ });
    await t.rejects(open('token=shop;object=twice'), { code: 'key_invalid', message: /several.*id=/ });
  });

  await t.test('of several keys, the registered one', async (t) => {
    const newer = await open('token=shop;object=twice;id=%05');
    const found = await openSigner(
      `pkcs11:token=shop;object=twice?module-path=${hsm.library}&pin-source=${pinFile}`,
      {},
      { registered: newer.publicKey },
    );
    t.equal(spki(found.publicKey), spki(newer.publicKey));
    t.equal((await found.sign(Buffer.from('a'))).length, 64);
    await found.close();
    await newer.close();
  });

  await t.test('without a PIN, no private key is visible', async (t) => {
    // A login is valid for the whole process, so another process tries.
    const script = `import { openPkcs11 } from './src/signer/pkcs11.ts';
      const open = (query) => openPkcs11('pkcs11:token=shop;object=good?module-path=${hsm.library}' + query, {})
        .then(() => 'opened', (error) => error.code + ' ' + error.message + ' ' + error.cause?.message);
      console.log(await open(''));
      console.log(await open('&pin-value=99887766'));
      console.log(await open('&pin-value=99887766'));
      console.log(await open('&pin-source=${pinFile}'));`;
    const said = execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
    const [noPin, wrongPin, again, right] = said.trim().split('\n');
    t.match(noPin, /^key_absent/);
    t.match(wrongPin, /^key_denied.*CKR_PIN_INCORRECT/);
    t.match(again, /^key_denied.*not tried again/, 'a token locks after a few wrong PINs');
    t.equal(right, 'opened');
    t.notMatch(said, /99887766/);
  });

  await t.test('the public half can be in a certificate', async (t) => {
    const [key, cert] = [join(hsm.folder, 'key.pem'), join(hsm.folder, 'cert.der')];
    const request =
      'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=webdist -outform DER';
    execFileSync('openssl', [...request.split(' '), '-keyout', key, '-out', cert], { stdio: 'ignore' });
    const as = ['--label', 'certified', '--id', '07'];
    hsm.tool('shop', '--write-object', key, '--type', 'privkey', '--usage-sign', ...as);
    hsm.tool('shop', '--write-object', cert, '--type', 'cert', ...as);
    const signer = guard(await open('token=shop;object=certified'));
    t.equal((await signer.sign(Buffer.from('a'))).length, 64);
    await signer.close();
  });

  await t.test('lost sessions are reopened', async (t) => {
    const signer = guard(await open('token=shop;object=good'));
    t.teardown(() => signer.close());
    await signer.sign(Buffer.from('a'));
    loseSessions(hsm.library);
    t.equal((await signer.sign(Buffer.from('b'))).length, 64);
  });

  await t.test('a key that needs the PIN for every signature (CKA_ALWAYS_AUTHENTICATE)', async (t) => {
    const as = ['--key-type', 'EC:prime256v1', '--label', 'careful', '--id', '09'];
    hsm.tool('shop', '--keypairgen', '--always-auth', ...as);
    t.match(hsm.tool('shop', '--list-objects', '--type', 'privkey').toString(), /always authenticate/i);
    const signer = guard(await open('token=shop;object=careful'));
    t.teardown(() => signer.close());
    const signed = await Promise.all(Array.from({ length: 10 }, () => signer.sign(Buffer.from('a'))));
    t.ok(signed.every(({ length }) => length === 64));
  });

  await t.test('an HSM that was away comes back, although its signers held the library', async (t) => {
    const away = async (signer: GuardedSigner, meanwhile: () => Promise<void>) => {
      const tokens = join(hsm.folder, 'tokens');
      renameSync(tokens, `${tokens}.away`);
      try {
        await t.rejects(signer.sign(Buffer.from('a')), { code: 'signer_unavailable' });
        await meanwhile();
      } finally {
        renameSync(`${tokens}.away`, tokens);
      }
    };
    const signer = guard(await open('token=shop;object=good'));
    t.teardown(() => signer.close());
    await away(signer, async () => undefined);
    t.equal((await signer.sign(Buffer.from('b'))).length, 64, 'the next signature');
    await away(signer, async () => {
      await t.rejects(open('token=shop;object=good'), { code: 'key_unreachable' }, 'not absent: nothing is dropped');
    });
    const again = guard(await open('token=shop;object=good'));
    t.equal((await again.sign(Buffer.from('c'))).length, 64, 'opened again');
    t.equal((await signer.sign(Buffer.from('d'))).length, 64, 'and so does the signer of before');
    await again.close();
    t.equal((await first.sign(Buffer.from('e'))).length, 64, 'and one that noticed nothing');
  });

  await t.test('a token that is not connected does not disturb the signers of another', async (t) => {
    const signer = guard(await open('token=shop;object=good'));
    t.teardown(() => signer.close());
    const signing = Promise.all(Array.from({ length: 20 }, () => signer.sign(Buffer.from('a'))));
    await t.rejects(open('token=elsewhere;object=good'), { code: 'key_unreachable' });
    t.equal((await signing).length, 20);
  });

  await t.test('a refused PIN is not tried again, not even by the next process', async (t) => {
    hsm.addToken('locked');
    const dataDir = temporaryFolder(t);
    const script = `import { openPkcs11 } from './src/signer/pkcs11.ts';
      const env = { WEBDIST_DATA_DIR: '${dataDir}' };
      await openPkcs11('pkcs11:token=locked;object=a?module-path=${hsm.library}&pin-value=' + process.argv[1], env)
        .catch((error) => console.log(error.code + ' ' + error.message));`;
    const start = (pin: string) =>
      execFileSync(process.execPath, ['--input-type=module', '--eval', script, pin], { encoding: 'utf8' });
    t.match(start('11112222'), /^key_denied .*refuses the PIN/);
    t.match(
      start('11112222'),
      new RegExp(`^key_denied .*refused this PIN before.*delete ${dataDir}/refused-pins\\.json`),
    );
    t.match(start('33334444'), /^key_denied .*refuses the PIN/, 'another one is tried');
    t.match(start('11112222'), /refused this PIN before/);
    t.match(start(hsm.pin), /^key_absent/, 'the right one works');
    const file = join(dataDir, 'refused-pins.json');
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.notMatch(readFileSync(file, 'utf8'), /11112222|33334444/);
    rmSync(file);
    t.match(start('11112222'), /^key_denied .*refuses the PIN/, 'tried again on request');
  });

  await t.test('a deleted key is absent when opened again, and stops signing', async (t) => {
    hsm.addKey('shop', 'EC:prime256v1', 'brief', '08');
    const signer = guard(await open('token=shop;object=brief'));
    t.teardown(() => signer.close());
    await signer.sign(Buffer.from('a'));
    hsm.tool('shop', '--delete-object', '--type', 'privkey', '--id', '08');
    await t.rejects(open('token=shop;object=brief'), { code: 'key_absent' });
    await t.rejects(signer.sign(Buffer.from('a')), { code: 'signer_unavailable' });
  });

  await t.test('the library is built for this system', async (t) => {
    await t.rejects(openPkcs11(`pkcs11:object=a?module-path=${pinFile}`, {}), { code: 'config_invalid' });
    await t.rejects(openPkcs11('pkcs11:object=a', {}), { code: 'config_invalid', message: /PKCS11_MODULE_PATH/ });
    const path = `pkcs11:token=shop;object=good?pin-source=${pinFile}`;
    await (await openPkcs11(path, { PKCS11_MODULE_PATH: hsm.library })).close();
  });
});

/** Closes every session of the token in this process, as a restarting HSM does. */
function loseSessions(library: string): void {
  const { PKCS11 } = createRequire(import.meta.url)('pkcs11js') as typeof import('pkcs11js');
  const cryptoki = new PKCS11();
  cryptoki.load(library);
  for (const slot of cryptoki.C_GetSlotList(true)) cryptoki.C_CloseAllSessions(slot);
  cryptoki.close();
}
