/** The emergency stop, on real processes: a removed key stops every replica at once on SIGHUP, otherwise at its next check. */

import { unlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { appleItemId, keyFile, keyIdOf, openAccount } from '../../harness/account.ts';
import { runWebdist, startProcess } from '../../harness/process.ts';
import { isReady } from '../../harness/service.ts';
import { administer, startVault } from '../../harness/stand-ins/vault.ts';
import { until } from '../../harness/until.ts';

/** Much longer than these tests take. */
const SELDOM = { WEBDIST_REGISTER_INTERVAL: '86400' };

async function startReplicas(t: Parameters<typeof startProcess>[0], env: Record<string, string>) {
  const replicas = await Promise.all([1, 2].map(() => startProcess(t, env)));
  await Promise.all(replicas.map(({ url }) => isReady(url)));
  await until(
    () => replicas.every(({ output }) => output().includes('"event":"key_registered"')),
    'all replicas to have checked',
  );
  return replicas;
}

const stopped = (url: string) => until(async () => (await keyIdOf(url)) === '503 not_registered', 'the stop');

t.test('webdist keys remove, and SIGHUP', async (t) => {
  const { env, asc } = await openAccount(t);
  const replicas = await startReplicas(t, { ...env, ...SELDOM });
  const key = await asc.appKey(appleItemId);
  const { exited, output } = runWebdist(t, ['keys', 'remove', '--yes', key?.id ?? ''], env);
  t.equal(await exited, 0, output());
  for (const { child } of replicas) child.kill('SIGHUP');
  for (const { url, output } of replicas) {
    await stopped(url);
    await until(() => output().includes('"event":"registration_drift"'), 'the log to say why');
  }
  t.equal((await asc.listKeys()).length, 0, 'no replica registers it again');
});

t.test('webdist keys remove without a signal: at the next check', async (t) => {
  const { env, asc } = await openAccount(t);
  const replicas = await startReplicas(t, { ...env, WEBDIST_REGISTER_INTERVAL: '5' });
  await asc.removeKey((await asc.appKey(appleItemId))?.id ?? '');
  for (const { url } of replicas) await stopped(url);
});

t.test('a key file that is deleted is noticed without a signal', async (t) => {
  const { env, dataDir } = await openAccount(t);
  const locator = keyFile(dataDir, 'only.pem');
  const replicas = await startReplicas(t, { ...env, ...SELDOM, WEBDIST_KEY: locator });
  unlinkSync(join(dataDir, 'only.pem'));
  for (const { url } of replicas) await stopped(url);
});

t.test('access to a key in Vault is withdrawn, and SIGHUP', async (t) => {
  const vault = await startVault();
  t.teardown(() => vault[Symbol.asyncDispose]());
  const admin = (path: string, body: object) => administer(vault.url, vault.rootToken, 'POST', path, body);
  await admin('sys/mounts/transit', { type: 'transit' });
  await admin('transit/keys/camping', { type: 'ecdsa-p256' });
  const { env } = await openAccount(t);
  const replicas = await startReplicas(t, {
    ...env,
    ...SELDOM,
    WEBDIST_KEY: 'hashivault://camping',
    VAULT_ADDR: vault.url,
    VAULT_TOKEN: vault.rootToken,
  });
  vault.fault = 'denied';
  for (const { child } of replicas) child.kill('SIGHUP');
  for (const { url } of replicas) await stopped(url);
});
