/** Vault KV, and what it shares with Transit: logins, renewal, namespaces, certificate authorities. */

import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openVaultKv } from '../../src/secrets/vault-kv.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { listen } from '../harness/port.ts';
import type { Fault } from '../harness/stand-ins/fault.ts';
import { administer, startVault, type VaultStandIn } from '../harness/stand-ins/vault.ts';
import { startRealVault, withoutVault } from '../harness/stand-ins/vault-server.ts';
import { type SecretSubject, secretsContract } from './contract.ts';

type Server = { readonly url: string; readonly rootToken: string; readonly isShared?: boolean };

/** Mounts a KV engine and puts one secret into it. */
async function setUp(t: Test, { url, rootToken, isShared }: Server) {
  const mount = `webdist-test/${randomUUID()}`;
  const admin = (method: string, path: string, body?: object) => administer(url, rootToken, method, path, body);
  await admin('POST', `sys/mounts/${mount}`, { type: 'kv', options: { version: '2' } });
  t.teardown(() => (isShared ? admin('DELETE', `sys/mounts/${mount}`) : undefined));
  const text = `-----BEGIN PRIVATE KEY-----\n${randomUUID()}\n-----END PRIVATE KEY-----\n`;
  const change = async (value: unknown) => {
    await admin('POST', `${mount}/data/web/camping`, { data: { key: value, empty: '', number: 1 } });
  };
  await change(text);
  await admin('POST', `${mount}/data/web/deleted`, { data: { key: text } });
  await admin('DELETE', `${mount}/data/web/deleted`);
  const { auth } = await admin('POST', 'auth/token/create', { policies: ['default'], ttl: '1h' });
  const env = { VAULT_ADDR: url, VAULT_TOKEN: rootToken };
  const locator = `vault+kv://${encodeURIComponent(mount)}/web/camping#key`;
  const subject = {
    backend: 'vault+kv',
    named: /Vault KV/,
    text,
    change,
    open: () => openVaultKv(locator, env),
    failures: {
      absent: () => openVaultKv(`vault+kv://${encodeURIComponent(mount)}/web/none#key`, env),
      noField: () => openVaultKv(`vault+kv://${encodeURIComponent(mount)}/web/camping#none`, env),
      empty: () => openVaultKv(`vault+kv://${encodeURIComponent(mount)}/web/camping#empty`, env),
      denied: () => openVaultKv(locator, { ...env, VAULT_TOKEN: auth.client_token }),
      unreachable: () => openVaultKv(locator, { ...env, VAULT_ADDR: 'http://127.0.0.1:1' }),
      malformedLocator: () => openVaultKv(`vault+kv://${encodeURIComponent(mount)}/web/camping`, env),
    },
    secrets: [rootToken, auth.client_token],
  } satisfies SecretSubject;
  return { mount, locator, env, subject };
}

t.test('a real Vault or OpenBao', { skip: withoutVault }, (t) =>
  secretsContract(t, async (t) => (await setUp(t, await startRealVault(t))).subject),
);

async function startWithSecret(t: Test, tls?: { key: string; cert: string }) {
  const vault = await startVault(tls);
  t.teardown(() => vault[Symbol.asyncDispose]());
  return { vault, ...(await setUp(t, vault)) };
}

t.test('the stand-in', async (t) => {
  const { vault, mount, locator, env, subject } = await startWithSecret(t);
  const failing = (fault: Fault) => {
    vault.fault = fault;
    return openVaultKv(locator, env);
  };
  t.afterEach(() => {
    vault.fault = undefined;
  });
  await secretsContract(t, async () => ({
    ...subject,
    failures: { ...subject.failures, throttled: () => failing('throttled'), malformed: () => failing('malformed') },
  }));

  await t.test('values that are not a text', async (t) => {
    const read = async (path: string) => {
      const source = await openVaultKv(`vault+kv://${path}`, env);
      return source.read().finally(() => source.close());
    };
    await t.rejects(read(`${encodeURIComponent(mount)}/web/deleted#key`), { code: 'key_absent' });
    await t.rejects(read('nowhere/web/camping#key'), { code: 'key_absent' });
    await t.rejects(read(`${encodeURIComponent(mount)}/web/camping#number`), { code: 'key_invalid' });
    vault.fault = 'broken';
    await t.rejects(read(`${encodeURIComponent(mount)}/web/camping#key`), { code: 'key_unreachable' });
    for (const bad of [
      'vault+kv://a#key',
      'vault+kv://a/../b#key',
      'vault+kv://a/%2e%2e/b#key',
      'vault+kv://a/%zz#key',
    ])
      await t.rejects(openVaultKv(bad, env), { code: 'config_invalid' }, bad);
  });

  await t.test('the namespace is sent', async (t) => {
    vault.namespace = 'team/shop';
    const source = await openVaultKv(locator, { ...env, VAULT_NAMESPACE: 'team/shop' });
    t.equal(await source.read(), subject.text);
    await source.close();
    vault.namespace = undefined;
  });

  await t.test('usual mistakes that Vault reports as "absent" are named', async (t) => {
    await administer(vault.url, vault.rootToken, 'POST', 'sys/mounts/old', { type: 'kv', options: { version: '1' } });
    await administer(vault.url, vault.rootToken, 'POST', 'sys/mounts/transit', { type: 'transit' });
    for (const [locator, code, message] of [
      ['vault+kv://old/shop#key', 'key_invalid', /is in a KV engine of version 1\. .*enable-versioning/],
      ['vault+kv://transit/shop#key', 'key_invalid', /is not in a KV engine/],
      [
        `vault+kv://${encodeURIComponent(mount)}/data/web/camping#key`,
        'key_absent',
        /path begins with "data\/"\. Remove/,
      ],
      [`vault+kv://${encodeURIComponent(mount)}/none#key`, 'key_absent', /does not exist\. Check the mount/],
      ['vault+kv://none/shop#key', 'key_absent', /does not exist\. Check the mount/],
    ] as const) {
      const source = await openVaultKv(locator, env);
      await t.rejects(source.read(), { code, message }, locator);
      await source.close();
    }
  });

  await t.test("OpenBao's names, files, white space, and agents that log in", async (t) => {
    const folder = temporaryFolder(t);
    const [tokenFile, addressFile, socket] = ['token', 'address', 'agent'].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(tokenFile, `${vault.rootToken}\n`);
    writeFileSync(addressFile, ` ${vault.url}\r\n`);
    // As a Vault Agent with use_auto_auth_token does: adds its token to requests without one.
    const agent = createServer((incoming, outgoing) => {
      const headers = { 'x-vault-token': vault.rootToken, ...incoming.headers };
      const { method, url } = incoming;
      incoming.pipe(
        request(`${vault.url}${url}`, { method, headers }, (answer) => {
          outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
          answer.pipe(outgoing);
        }),
      );
    });
    await new Promise<void>((done) => agent.listen(socket, done));
    t.teardown(() => agent.close());
    const tcp = createServer((incoming, outgoing) => agent.emit('request', incoming, outgoing));
    const port = await listen(tcp);
    t.teardown(() => tcp.close());
    for (const variables of [
      { BAO_ADDR: vault.url, BAO_TOKEN: vault.rootToken, VAULT_ADDR: 'https://vault.invalid' },
      { BAO_ADDR: vault.url, VAULT_TOKEN: `  ${vault.rootToken}\n` },
      { VAULT_ADDR_FILE: addressFile, VAULT_TOKEN_FILE: tokenFile },
      { VAULT_ADDR: `unix://${socket}` },
      { VAULT_AGENT_ADDR: `unix://${socket}`, VAULT_ADDR: 'https://vault.invalid' },
      { VAULT_ADDR: `http://127.0.0.1:${port}` },
    ]) {
      const source = await openVaultKv(locator, variables);
      t.equal(await source.read(), subject.text, Object.keys(variables).join(' '));
      await source.close();
    }
    const source = await openVaultKv(locator, { VAULT_ADDR: vault.url });
    await t.rejects(source.read(), {
      code: 'key_unreachable',
      message: /no VAULT_TOKEN, and no Vault Agent added one/,
    });
    await source.close();
  });

  await t.test('a token file that is renewed replaces a token that Vault no longer knows', async (t) => {
    const file = join(temporaryFolder(t), 'token');
    writeFileSync(file, 'hvs.outdated');
    const source = await openVaultKv(locator, { VAULT_ADDR: vault.url, VAULT_TOKEN_FILE: file });
    await t.rejects(source.read(), { code: 'key_denied', message: /does not accept VAULT_TOKEN/ });
    writeFileSync(file, vault.rootToken);
    t.equal(await source.read(), subject.text);
    await source.close();
  });

  await t.test('missing or wrong variables', async (t) => {
    await t.rejects(openVaultKv(locator, {}), { code: 'config_invalid', message: /VAULT_ADDR/ });
    await t.rejects(openVaultKv(locator, { VAULT_ADDR: 'https://vault.example.com' }), {
      code: 'config_invalid',
      message: /log in/,
    });
    await t.rejects(openVaultKv(locator, { VAULT_TOKEN: 'a' }), { code: 'config_invalid', message: /VAULT_ADDR/ });
    await t.rejects(openVaultKv(locator, { ...env, VAULT_CACERT: '/none' }), { code: 'config_invalid' });
  });
});

/** Resolves when the stand-in has answered this request. */
const answered = (vault: VaultStandIn, wanted: string) =>
  new Promise<void>((resolve) => {
    vault.onRequest = (request) => request === wanted && resolve();
  });

t.test('logins', async (t) => {
  const { vault, locator, subject } = await startWithSecret(t);
  const { roleId, secretId } = vault.appRole;
  const appRole = { VAULT_ADDR: vault.url, VAULT_ROLE_ID: roleId, VAULT_SECRET_ID: secretId };
  const logins = () => vault.requests.filter((request) => request.endsWith('/login')).length;
  t.beforeEach(() => {
    vault.requests.length = 0;
    vault.login = { ttlSeconds: 3600, renewable: true };
  });

  await t.test('AppRole: one login for many reads, another when Vault no longer knows the token', async (t) => {
    const source = await openVaultKv(locator, appRole);
    t.teardown(() => source.close());
    await Promise.all([source.read(), source.read(), source.read()]);
    t.equal(logins(), 1);
    for (const id of vault.vaultTokens.keys()) if (id !== vault.rootToken) vault.vaultTokens.delete(id);
    const texts = await Promise.all([source.read(), source.read(), source.read()]);
    t.same(new Set(texts), new Set([subject.text]));
    t.equal(logins(), 2);
  });

  await t.test('AppRole at another path', async (t) => {
    const source = await openVaultKv(locator, { ...appRole, VAULT_AUTH_PATH: 'auth/team/shop/' });
    t.equal(await source.read(), subject.text);
    t.match(vault.requests, ['POST auth/team/shop/login']);
    await source.close();
  });

  await t.test('a refused login is denied, and shows no secret', async (t) => {
    const wrong = randomUUID();
    const source = await openVaultKv(locator, { ...appRole, VAULT_SECRET_ID: wrong });
    const error = await source.read().catch((error: Error) => error);
    t.match(error, { code: 'key_denied', message: /Vault refused the login with 400/ });
    t.notMatch(JSON.stringify([error, (error as Error).cause]), wrong);
    await source.close();
  });

  await t.test('Kubernetes: every login reads the JWT file again', async (t) => {
    const path = join(t.testdir(), 'jwt');
    const env = { VAULT_ADDR: vault.url, VAULT_KUBERNETES_ROLE: 'webdist', VAULT_KUBERNETES_JWT_PATH: path };
    const source = await openVaultKv(locator, env);
    await t.rejects(source.read(), { code: 'key_unreachable', message: /jwt .* does not exist/ });
    writeFileSync(path, 'outdated');
    await t.rejects(source.read(), { code: 'key_denied' });
    writeFileSync(path, `${vault.kubernetes.jwt}\n`);
    t.equal(await source.read(), subject.text);
    await source.close();
  });

  await t.test('an expired VAULT_TOKEN is denied', async (t) => {
    const source = await openVaultKv(locator, { VAULT_ADDR: vault.url, VAULT_TOKEN: 'hvs.gone' });
    await t.rejects(source.read(), { code: 'key_denied', message: /VAULT_TOKEN, which has expired/ });
    await source.close();
  });

  await t.test('a token is renewed before it expires', async (t) => {
    vault.login = { ttlSeconds: 1, renewable: true };
    const source = await openVaultKv(locator, appRole);
    const renewed = answered(vault, 'POST auth/token/renew-self');
    await source.read();
    await renewed;
    t.equal(await source.read(), subject.text);
    t.equal(logins(), 1);
    await source.close();
  });

  await t.test('VAULT_TOKEN is renewed too', async (t) => {
    vault.vaultTokens.set('hvs.given', { may: 'everything', ttlSeconds: 1, renewable: true });
    const source = await openVaultKv(locator, { VAULT_ADDR: vault.url, VAULT_TOKEN: 'hvs.given' });
    const renewed = answered(vault, 'POST auth/token/renew-self');
    await source.read();
    await renewed;
    t.equal(logins(), 0);
    await source.close();
  });

  await t.test('a token that cannot be renewed is replaced before it expires', async (t) => {
    vault.login = { ttlSeconds: 1, renewable: false };
    const source = await openVaultKv(locator, appRole);
    await source.read();
    await answered(vault, 'POST auth/approle/login');
    await source.close();
    t.equal(logins(), 2);
  });
});

const openssl = (() => {
  try {
    return execFileSync('openssl', ['version'], { encoding: 'utf8' });
  } catch {
    return undefined;
  }
})();

t.test('a private certificate authority', { skip: openssl ? false : 'openssl is not installed' }, async (t) => {
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(t.testdir({}), name)) as [string, string];
  const request = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost';
  execFileSync(
    'openssl',
    [...request.split(' '), '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert],
    {
      stdio: 'ignore',
    },
  );
  const vault = await startVault({ key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') });
  t.teardown(() => vault[Symbol.asyncDispose]());
  const env = { VAULT_ADDR: vault.url, VAULT_TOKEN: vault.rootToken };
  const read = async (more: object) => {
    const source = await openVaultKv('vault+kv://secret/a#key', { ...env, ...more });
    return source.read().finally(() => source.close());
  };
  await t.rejects(read({}), { code: 'key_unreachable' }, 'an untrusted certificate is refused');
  await t.rejects(read({ VAULT_CACERT: cert }), { code: 'key_absent' }, 'with VAULT_CACERT the server is trusted');
});
