/**
 * What the release signs, as a user verifies it: with cosign, a registry (Debian's docker-registry) and a key of the test in
 * place of the workflow's identity. The Helm chart is signed and gets the bill of materials as an attestation; SHA256SUMS is
 * signed as a file. What was changed, or signed with another key, is refused.
 */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, cpSync, globSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { runProgram } from '../../harness/package.ts';
import { freePort, isFree } from '../../harness/port.ts';
import { until } from '../../harness/until.ts';

const missing = ['cosign', 'docker-registry', 'helm'].filter(
  (program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0,
);

t.test('signatures', { skip: missing.length > 0 && `not installed: ${missing.join(', ')}` }, async (t) => {
  const folder = temporaryFolder(t);
  const port = await freePort();
  const environment = { ...process.env, COSIGN_PASSWORD: 'test' };
  const run = (program: string, ...args: string[]) =>
    execFileSync(program, args, { cwd: folder, encoding: 'utf8', env: environment, stdio: 'pipe' });
  /** Whether cosign verifies. There is no transparency log here; a release has an entry in it. */
  const verifies = (command: string, ...args: string[]) =>
    spawnSync('cosign', [command, '--insecure-ignore-tlog', ...args], { cwd: folder, env: environment }).status === 0;

  const storage = `storage: { filesystem: { rootdirectory: ${join(folder, 'storage')} } }`;
  writeFileSync(join(folder, 'registry.yml'), `version: 0.1\n${storage}\nhttp: { addr: '127.0.0.1:${port}' }\n`);
  const registry = spawn('docker-registry', ['serve', 'registry.yml'], { cwd: folder, stdio: 'ignore' });
  t.teardown(async () => {
    registry.kill('SIGKILL');
    await once(registry, 'close');
  });
  await until(async () => !(await isFree(port)), 'the registry');

  runProgram('npm', ['run', '-s', 'release', '--', '--dry-run', '--quick', '--out', join(folder, 'release')]);
  for (const name of ['ours', 'other']) run('cosign', 'generate-key-pair', '--output-key-prefix', name);
  const withoutLog = ['--tlog-upload=false', '--use-signing-config=false', '--yes', '--key', 'ours.key'];

  await t.test('the chart, and its bill of materials', async (t) => {
    const pushed = run(
      'sh',
      '-c',
      `helm push release/webdist-chart-*.tgz oci://127.0.0.1:${port}/charts --plain-http 2>&1`,
    );
    const chart = `127.0.0.1:${port}/charts/webdist@${/sha256:[0-9a-f]{64}/.exec(pushed)?.[0]}`;
    const http = '--allow-http-registry';
    t.notOk(verifies('verify', http, '--key', 'ours.pub', chart), 'before it is signed');
    run('cosign', 'sign', ...withoutLog, http, chart);
    t.ok(verifies('verify', http, '--key', 'ours.pub', chart));
    t.notOk(verifies('verify', http, '--key', 'other.pub', chart), 'another key');

    const type = ['--type', 'cyclonedx'];
    run('sh', '-c', 'mv release/webdist-*.cdx.json bill.json');
    t.notOk(verifies('verify-attestation', http, ...type, '--key', 'ours.pub', chart), 'before it is attested');
    run('cosign', 'attest', ...withoutLog, http, ...type, '--predicate', 'bill.json', chart);
    t.ok(verifies('verify-attestation', http, ...type, '--key', 'ours.pub', chart));
    t.notOk(verifies('verify-attestation', http, ...type, '--key', 'other.pub', chart), 'another key');
  });

  await t.test('SHA256SUMS, and through it every file', async (t) => {
    cpSync(join(folder, 'release/SHA256SUMS'), join(folder, 'SHA256SUMS'));
    const bundle = ['--bundle', 'SHA256SUMS.sigstore.json'];
    run('cosign', 'sign-blob', ...withoutLog, ...bundle, 'SHA256SUMS');
    t.ok(verifies('verify-blob', ...bundle, '--key', 'ours.pub', 'SHA256SUMS'));
    t.notOk(verifies('verify-blob', ...bundle, '--key', 'other.pub', 'SHA256SUMS'), 'another key');
    const sums = () =>
      spawnSync('sha256sum', ['--check', '--ignore-missing', '../SHA256SUMS'], { cwd: join(folder, 'release') });
    t.equal(sums().status, 0);
    const [button = ''] = globSync(join(folder, 'release/webdist-button-*.tgz'));
    appendFileSync(button, 'more');
    t.not(sums().status, 0, 'a changed file');
    appendFileSync(join(folder, 'SHA256SUMS'), `${'0'.repeat(64)}  another\n`);
    t.notOk(verifies('verify-blob', ...bundle, '--key', 'ours.pub', 'SHA256SUMS'), 'a changed list');
  });
});
