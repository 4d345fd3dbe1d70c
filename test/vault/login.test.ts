/** The logins with a JWT and with AWS, at a real Vault. AppRole and Kubernetes: test/secrets/vault-kv.test.ts. */

import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { exportSPKI, generateKeyPair, SignJWT } from 'jose';
import t, { type Test } from 'tap';
import { openVaultKv } from '../../src/secrets/vault-kv.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { AWS_USER, startSts } from '../harness/stand-ins/sts.ts';
import { setVariables } from '../harness/stand-ins/variables.ts';
import { administer } from '../harness/stand-ins/vault.ts';
import { startOwnVault, vaultProgram } from '../harness/stand-ins/vault-server.ts';

const LOCATOR = 'vault+kv://secret/webdist/camping#key';

/** A Vault with a secret and a policy that may read it. */
async function setUp(t: Test) {
  const { url, rootToken } = await startOwnVault(t);
  const admin = (path: string, body: object) => administer(url, rootToken, 'POST', path, body);
  const text = `the key ${randomUUID()}`;
  await admin('secret/data/webdist/camping', { data: { key: text } });
  await admin('sys/policies/acl/webdist', {
    policy: 'path "secret/data/webdist/camping" { capabilities = ["read"] }',
  });
  return { url, admin, text };
}

/** Opens the secret, reads it once, and closes it. */
async function read(variables: Readonly<Record<string, string>>): Promise<string> {
  const source = await openVaultKv(LOCATOR, variables);
  return source.read().finally(() => source.close());
}

t.test('a real Vault', { skip: !vaultProgram && 'neither vault nor bao is installed' }, async (t) => {
  const { url, admin, text } = await setUp(t);

  await t.test('JWT', async (t) => {
    const { publicKey, privateKey } = await generateKeyPair('ES256');
    const role = { role_type: 'jwt', user_claim: 'sub', bound_audiences: ['vault'], token_policies: ['webdist'] };
    for (const mount of ['jwt', 'team/ci']) {
      await admin(`sys/auth/${mount}`, { type: 'jwt' });
      await admin(`auth/${mount}/role/webdist`, role);
      const key = await exportSPKI(publicKey);
      await admin(`auth/${mount}/config`, { jwt_validation_pubkeys: [key], default_role: 'webdist' });
    }
    const jwtFor = (audience: string) =>
      new SignJWT()
        .setProtectedHeader({ alg: 'ES256' })
        .setIssuedAt()
        .setSubject('ci')
        .setAudience(audience)
        .setExpirationTime('5m');
    const valid = await jwtFor('vault').sign(privateKey);
    const foreign = await jwtFor('another').sign(privateKey);
    const file = join(temporaryFolder(t), 'jwt');
    writeFileSync(file, `${foreign}\n`);
    for (const variables of [
      { VAULT_JWT: valid, VAULT_JWT_ROLE: 'webdist' },
      { VAULT_JWT: valid },
      { BAO_JWT: valid, BAO_JWT_ROLE: 'webdist' },
      { VAULT_JWT: valid, VAULT_JWT_ROLE: 'webdist', VAULT_AUTH_PATH: 'team/ci' },
    ])
      t.equal(await read({ VAULT_ADDR: url, ...variables }), text, Object.keys(variables).join(' '));

    const source = await openVaultKv(LOCATOR, { VAULT_ADDR: url, VAULT_JWT_FILE: file });
    const refused = await source.read().catch((error: Error) => error);
    t.match(refused, { code: 'key_denied', message: /Vault refused the login with 400/ });
    t.notMatch(JSON.stringify([refused, (refused as Error).cause]), foreign);
    writeFileSync(file, `${valid}\n`);
    t.equal(await source.read(), text, 'every login reads the file again');
    await source.close();
    await t.rejects(read({ VAULT_ADDR: url, VAULT_JWT: valid, VAULT_JWT_ROLE: 'none' }), { code: 'key_denied' });
  });

  await t.test('AWS', async (t) => {
    const { accessKeyId, secretAccessKey, account } = AWS_USER;
    setVariables(t, { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey });
    await admin('sys/auth/aws', { type: 'aws' });
    await admin('auth/aws/config/client', {
      sts_endpoint: await startSts(t),
      sts_region: 'us-east-1',
      iam_server_id_header_value: 'vault.example.com',
    });
    const bound = { auth_type: 'iam', resolve_aws_unique_ids: false, token_policies: ['webdist'] };
    await admin('auth/aws/role/webdist', {
      ...bound,
      bound_iam_principal_arn: [`arn:aws:iam::${account}:user/webdist`],
    });
    await admin('auth/aws/role/other', { ...bound, bound_iam_principal_arn: [`arn:aws:iam::${account}:user/other`] });
    const env = { VAULT_ADDR: url, VAULT_AWS_HEADER_VALUE: 'vault.example.com' };
    t.equal(await read({ ...env, VAULT_AWS_ROLE: 'webdist' }), text);
    for (const [what, variables] of [
      ['another role', { ...env, VAULT_AWS_ROLE: 'other' }],
      [
        'a request for another Vault',
        { ...env, VAULT_AWS_ROLE: 'webdist', VAULT_AWS_HEADER_VALUE: 'evil.example.com' },
      ],
      ['no server id', { VAULT_ADDR: url, VAULT_AWS_ROLE: 'webdist' }],
    ] as const)
      await t.rejects(read(variables), { code: 'key_denied', message: /Vault refused the login/ }, what);
    setVariables(t, { AWS_SECRET_ACCESS_KEY: 'a wrong secret' });
    await t.rejects(read({ ...env, VAULT_AWS_ROLE: 'webdist' }), { code: 'key_denied' }, 'a wrong signature');
  });
});
