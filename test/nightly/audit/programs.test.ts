/** The audit log with the programs of a Debian machine: every line reaches rsyslog, and logrotate loses none under load. */

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { post } from '../../harness/http.ts';
import { openLoad } from '../../harness/load.ts';
import { freePort, untilListening } from '../../harness/port.ts';
import { startProcess, webdistJson } from '../../harness/process.ts';
import { settingsIn, startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const missing = (program: string, flag: string) =>
  spawnSync(program, [flag]).error ? `${program} is not installed (Debian: ${program.replace(/d$/, '')})` : false;

type Verified = { ok: boolean; chains: { first: number; last: number }[]; problems: string[] };

t.test('rsyslog', { skip: missing('rsyslogd', '-v') }, async (t) => {
  const folder = temporaryFolder(t);
  const [tcp, udp] = [await freePort(), await freePort()];
  const socket = join(folder, 'log.sock');
  const names = ['tcp', 'udp', 'unix'] as const;
  const rules = names.map((name) => `ruleset(name="${name}") { action(type="omfile" file="${folder}/${name}.log") }`);
  writeFileSync(
    join(folder, 'rsyslog.conf'),
    `global(workDirectory="${folder}" maxMessageSize="64k")
module(load="imtcp") module(load="imudp") module(load="imptcp")
${rules.join('\n')}
input(type="imtcp" port="${tcp}" address="127.0.0.1" ruleset="tcp")
input(type="imudp" port="${udp}" address="127.0.0.1" ruleset="udp")
input(type="imptcp" path="${socket}" ruleset="unix")
`,
  );
  const daemon = spawn('rsyslogd', ['-n', '-f', join(folder, 'rsyslog.conf'), '-i', join(folder, 'pid')]);
  t.teardown(() => daemon.kill('SIGKILL'));
  await untilListening(tcp);
  const WEBDIST_AUDIT = `syslog+tcp://127.0.0.1:${tcp} syslog+udp://127.0.0.1:${udp} syslog+unix://${socket}`;
  const { url, stop } = await startReady(t, undefined, settingsIn(folder, { WEBDIST_AUDIT }));
  let issued = 0;
  for (; issued < 500; issued++) await post(`${url}/install-token`, {});
  await stop();
  for (const name of names) {
    const file = join(folder, `${name}.log`);
    await until(() => readFileSync(file, 'utf8').split('\n').length > issued, `${name}: ${issued} lines`);
    const { ok, chains, problems } = await webdistJson<Verified>(['audit', 'verify', file]);
    t.match({ ok, chains, problems }, { ok: true, chains: [{ first: 1, last: issued }], problems: [] }, name);
  }
});

t.test('logrotate, a hundred times', { skip: missing('logrotate', '--version') }, async (t) => {
  const folder = temporaryFolder(t);
  const logs = join(folder, 'logs');
  mkdirSync(logs, { mode: 0o755 });
  const path = join(logs, 'audit.jsonl');
  const service = await startProcess(t, settingsIn(folder, { WEBDIST_AUDIT: path }));
  let issued = 0;
  const load = openLoad(300, async () => {
    if ((await post(`${service.url}/install-token`, {})).status === 200) issued++;
  });
  const config = join(folder, 'logrotate.conf');
  writeFileSync(
    config,
    `${path} {
  rotate 200
  nocreate
  compress
  delaycompress
  postrotate
    kill -HUP ${service.child.pid}
  endscript
}
`,
    { mode: 0o644 },
  );
  for (let round = 0; round < 100; round++) {
    await until(() => readdirSync(logs).includes('audit.jsonl'), 'a file to rotate');
    const before = issued;
    await until(() => issued > before + 5, 'more tokens');
    execFileSync('logrotate', ['--force', '--state', join(folder, 'state'), config]);
  }
  await load.end();
  await service.end('SIGINT');
  const files = readdirSync(logs)
    .filter((name) => !name.endsWith('.lock'))
    .map((name) => {
      const bytes = readFileSync(join(logs, name));
      const plain = join(folder, name);
      writeFileSync(plain, name.endsWith('.gz') ? gunzipSync(bytes) : bytes);
      return plain;
    });
  t.ok(files.length >= 100, `${files.length} files`);
  const { ok, chains, problems } = await webdistJson<Verified>(['audit', 'verify', ...files]);
  t.match(
    { ok, chains, problems },
    { ok: true, chains: [{ first: 1, last: issued }], problems: [] },
    `${issued} tokens`,
  );
});
