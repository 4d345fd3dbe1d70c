/** The commands of docs/keys/vault-kv.md and vault-transit.md, run on a real Vault: their policies are all that webdist needs. */

import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { spki } from '../../../src/jws.ts';
import { openSecret, openSigner } from '../../../src/locators.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { administer } from '../../harness/stand-ins/vault.ts';
import { startOwnVault, vaultProgram } from '../../harness/stand-ins/vault-server.ts';

/** The first block of commands of a page. */
const commandsOf = (page: string) =>
  /```sh\n([\s\S]*?)```/.exec(readFileSync(`docs/keys/${page}.md`, 'utf8'))?.[1] ?? '';

t.test('a real Vault', { skip: !vaultProgram && 'neither vault nor bao is installed' }, async (t) => {
  const { url, rootToken } = await startOwnVault(t);
  const folder = temporaryFolder(t);
  /** Runs the commands of a page and `more` as an administrator. Returns what `more` prints. */
  const run = (page: string, more: string): string[] => {
    const script = `set -e; vault() { ${vaultProgram} "$@"; }; { ${commandsOf(page).replace('https://vault.example.com:8200', url)} } >&2; ${more}`;
    const env = {
      PATH: `${dirname(vaultProgram ?? '')}:${process.env['PATH']}`,
      HOME: folder,
      VAULT_ADDR: url,
      VAULT_TOKEN: rootToken,
    };
    return execFileSync('bash', ['-c', script], { cwd: folder, env, encoding: 'utf8', stdio: 'pipe' })
      .trim()
      .split('\n');
  };
  const admin = (method: string, path: string, body = {}) => administer(url, rootToken, method, path, body);

  await t.test('KV, with the AppRole login', async (t) => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const pem = String(privateKey.export({ format: 'pem', type: 'pkcs8' }));
    writeFileSync(join(folder, 'distribution.pem'), pem);
    const [locator = '', VAULT_ROLE_ID, VAULT_SECRET_ID] = run(
      'vault-kv',
      'printf "%s\\n" "$WEBDIST_KEY" "$VAULT_ROLE_ID" "$VAULT_SECRET_ID"',
    );
    const source = await openSecret(locator, { VAULT_ADDR: url, VAULT_ROLE_ID, VAULT_SECRET_ID });
    t.equal((await source.read()).trim(), pem.trim());
    await admin('DELETE', 'secret/data/webdist/camping');
    await t.rejects(source.read(), { code: 'key_absent' }, 'the emergency stop');
    await admin('DELETE', 'sys/policies/acl/webdist');
    await t.rejects(source.read(), { code: 'key_denied' }, 'the other emergency stop');
    await source.close();
  });

  await t.test('Transit, with a token of the policy', async (t) => {
    const [locator = '', VAULT_TOKEN] = run(
      'vault-transit',
      'echo "$WEBDIST_KEY"; vault token create -policy=webdist -field=token',
    );
    const env = { VAULT_ADDR: url, VAULT_TOKEN };
    const first = await openSigner(locator, env);
    t.equal((await first.sign(Buffer.from('a'))).length, 64);
    await admin('POST', 'transit/keys/camping/rotate');
    const pinned = await openSigner(locator, env, { registered: first.publicKey });
    t.equal(spki(pinned.publicKey), spki(first.publicKey), 'a rotation in Vault changes nothing');
    const second = await openSigner(`${locator}?version=2`, env);
    t.not(spki(second.publicKey), spki(first.publicKey));
    await admin('POST', 'transit/keys/camping/config', { min_encryption_version: 2 });
    await t.rejects(async () => pinned.sign(Buffer.from('a')), { code: 'signer_unavailable' }, 'the emergency stop');
    await admin('DELETE', 'sys/policies/acl/webdist');
    await t.rejects(openSigner(locator, env), { code: 'key_denied' });
    for (const signer of [first, pinned, second]) await signer.close();
  });
});
