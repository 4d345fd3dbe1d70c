/** A folder that the process may not write, as with a bind mount of root: one sentence with the setting and the user. */

import { once } from 'node:events';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import type { Environment } from '../../src/environment.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { spawnNode } from '../harness/process.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { settingsIn } from '../harness/service.ts';

/** The user of the image. */
const UID = 65532;
const notRoot = process.getuid?.() !== 0 && 'only root can start a process as another user';

async function runAs(uid: number, args: readonly string[], env: Environment) {
  const child = spawnNode(['--', 'src/main.ts', ...args], env, { uid, gid: uid });
  t.teardown(() => child.kill('SIGKILL'));
  const [stderr] = await Promise.all([text(child.stderr as Readable), once(child, 'close')]);
  return { code: child.exitCode, stderr };
}

const secret = { WEBDIST_LEDGER_SECRET: 'only-for-this-test-only-for-this-test' };

type Case = { readonly args?: readonly string[]; readonly env: Environment; readonly message: RegExp };

const cases: Readonly<Record<string, (locked: string, own: string) => Case>> = {
  'the ledger secret': (locked) => ({
    env: { WEBDIST_DATA_DIR: locked },
    message: /ledger-secret cannot be written \(WEBDIST_DATA_DIR, uid 65532, EACCES\)\. Give that user permission/,
  }),
  'a folder that is to be created': (locked) => ({
    env: { WEBDIST_DATA_DIR: join(locked, 'data') },
    message: /cannot be written \(WEBDIST_DATA_DIR, uid 65532, EACCES\)/,
  }),
  'the ledger': (locked, own) => ({
    env: { WEBDIST_DATA_DIR: own, WEBDIST_LEDGER: `sqlite://${locked}/ledger.sqlite` },
    message: /ledger\.sqlite cannot be written \(WEBDIST_LEDGER, uid 65532, EACCES\)/,
  }),
  'the audit file': (locked, own) => ({
    env: { WEBDIST_DATA_DIR: own, WEBDIST_LEDGER: 'memory:', ...secret, WEBDIST_AUDIT: `${locked}/audit.jsonl` },
    message: /audit\.jsonl cannot be written \(WEBDIST_AUDIT, uid 65532, EACCES\)/,
  }),
  'the folder of packages': (locked) => ({
    args: ['packages', 'pull'],
    env: { WEBDIST_PACKAGES_DIR: locked },
    message: /cannot be written \(WEBDIST_PACKAGES_DIR, uid 65532, EACCES\)\. Give that user permission/,
  }),
  'orders to running services': (locked) => ({
    args: ['keys', 'stop', '--yes'],
    env: { WEBDIST_DATA_DIR: locked, ...secret },
    message: /cannot be written \(WEBDIST_DATA_DIR, uid 65532, EACCES\)\. Give that user permission/,
  }),
  'a new key': (locked) => ({
    args: ['keygen', '--out', join(locked, 'key.pem')],
    env: {},
    message: /key\.pem cannot be written \(EACCES\)\. Choose another file with --out\./,
  }),
  'a data folder that is a file': (_, own) => {
    writeFileSync(join(own, 'file'), '');
    return {
      env: { WEBDIST_DATA_DIR: join(own, 'file') },
      message: /a part of the path is not a folder \(WEBDIST_DATA_DIR, uid 65532, E[A-Z]+\)/,
    };
  },
};

/** With coverage, Node reports one more line: that this user cannot write the figures. */
const isMeasured = process.env['COVERAGE'] !== undefined && 'coverage cannot be counted as another user';

t.test('a folder that cannot be written', { skip: notRoot || isMeasured, timeout: 120_000 }, async (t) => {
  const { ASC_BASE_URL, ASC_KEY_ID, ASC_ISSUER_ID, ASC_PRIVATE_KEY_B64 } = (await startSandbox(t as Test)).settings;
  const account = { ASC_BASE_URL, ASC_KEY_ID, ASC_ISSUER_ID, ASC_PRIVATE_KEY_B64 };
  for (const [name, caseOf] of Object.entries(cases)) {
    const folder = temporaryFolder(t as Test);
    chmodSync(folder, 0o755);
    const [locked, own] = [join(folder, 'locked'), join(folder, 'own')];
    mkdirSync(locked, { mode: 0o755 });
    mkdirSync(own);
    chmodSync(own, 0o777);
    const settings = settingsIn(folder);
    chmodSync(join(folder, 'key.pem'), 0o644);
    const { args = ['serve'], env, message } = caseOf(locked, own);
    const { code, stderr } = await runAs(UID, args, { ...account, ...settings, ...env });
    t.equal(code, 1, name);
    t.match(stderr, message, name);
    t.equal(stderr.trim().split('\n').length, 1, `${name}: one line`);
  }
});
