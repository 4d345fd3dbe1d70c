/**
 * The audit log with real programs: every line reaches rsyslog and an OpenTelemetry Collector, and logrotate loses none under
 * load.
 */

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

const missing = (program: string, flag: string, where = `Debian: ${program.replace(/d$/, '')}`) =>
  spawnSync(program, [flag]).error ? `${program} is not installed (${where})` : false;

type LogRecord = {
  readonly timeUnixNano: string;
  readonly severityText: string;
  readonly body: { readonly stringValue: string };
  readonly attributes: readonly { readonly key: string; readonly value: { readonly stringValue: string } }[];
};
type Exported = { readonly resourceLogs: { readonly scopeLogs: { readonly logRecords: LogRecord[] }[] }[] };
type Verified = { ok: boolean; chains: { first: number; last: number }[]; problems: string[] };

t.test('rsyslog', { skip: missing('rsyslogd', '-v') }, async (t) => {
  const folder = temporaryFolder(t);
  const [tcp, udp] = [await freePort(), await freePort()];
  const socket = join(folder, 'log.sock');
  const datagrams = join(folder, 'dev-log');
  const names = ['tcp', 'udp', 'unix', 'datagrams'] as const;
  const rules = names.map((name) => `ruleset(name="${name}") { action(type="omfile" file="${folder}/${name}.log") }`);
  writeFileSync(
    join(folder, 'rsyslog.conf'),
    `global(workDirectory="${folder}" maxMessageSize="64k")
module(load="imtcp") module(load="imudp") module(load="imptcp") module(load="imuxsock" SysSock.Use="off")
${rules.join('\n')}
input(type="imtcp" port="${tcp}" address="127.0.0.1" ruleset="tcp")
input(type="imudp" port="${udp}" address="127.0.0.1" ruleset="udp")
input(type="imptcp" path="${socket}" ruleset="unix")
input(type="imuxsock" Socket="${datagrams}" ruleset="datagrams")
`,
  );
  const daemon = spawn('rsyslogd', ['-n', '-f', join(folder, 'rsyslog.conf'), '-i', join(folder, 'pid')]);
  t.teardown(() => daemon.kill('SIGKILL'));
  await untilListening(tcp);
  const WEBDIST_AUDIT = `syslog+tcp://127.0.0.1:${tcp} syslog+udp://127.0.0.1:${udp} syslog+unix://${socket} syslog+unix://${datagrams}`;
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

/** `otelcol` of https://github.com/open-telemetry/opentelemetry-collector-releases, with its file exporter. */
const noCollector = missing('otelcol', '--version', 'OpenTelemetry Collector');

t.test('an OpenTelemetry Collector that is killed and comes back', { skip: noCollector }, async (t) => {
  const folder = temporaryFolder(t);
  const port = await freePort();
  const [config, received] = [join(folder, 'collector.yaml'), join(folder, 'received.jsonl')];
  writeFileSync(
    config,
    `receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:${port}" } } } }
exporters: { file: { path: "${received}", append: true, flush_interval: 100ms } }
service:
  telemetry: { metrics: { level: none } }
  pipelines: { logs: { receivers: [otlp], exporters: [file] } }
`,
  );
  const start = async () => {
    const collector = spawn('otelcol', ['--config', config], { stdio: 'ignore' });
    t.teardown(() => collector.kill('SIGKILL'));
    await untilListening(port);
    return collector;
  };
  const lines = () => {
    const records: LogRecord[] = readFileSync(received, 'utf8')
      .split('\n')
      .filter((text) => text.endsWith('}'))
      .flatMap((text) => (JSON.parse(text) as Exported).resourceLogs)
      .flatMap(({ scopeLogs }) => scopeLogs.flatMap(({ logRecords }) => logRecords));
    return records;
  };
  const seen = (count: number) =>
    until(() => new Set(lines().map(({ body }) => body.stringValue)).size >= count, `${count} lines`);

  const first = await start();
  const WEBDIST_AUDIT = `otlp+http://127.0.0.1:${port}/v1/logs`;
  const { url, stop } = await startReady(t, undefined, settingsIn(folder, { WEBDIST_AUDIT }));
  let issued = 0;
  const issue = async (count: number) => {
    for (let n = 0; n < count; n++) if ((await post(`${url}/install-token`, {})).status === 200) issued++;
  };
  await issue(200);
  await seen(200);
  first.kill('SIGKILL');
  await issue(100);
  await start();
  await seen(300);
  await issue(200);
  await stop();
  await seen(issued);
  t.match(lines()[0], {
    severityText: 'INFO',
    attributes: [{ key: 'event.name', value: { stringValue: 'install_token_issued' } }],
    timeUnixNano: /^\d{19}$/,
  });
  const plain = join(folder, 'plain.jsonl');
  writeFileSync(
    plain,
    `${lines()
      .map(({ body }) => body.stringValue)
      .join('\n')}\n`,
  );
  const { ok, chains, problems } = await webdistJson<Verified>(['audit', 'verify', plain]);
  t.match({ ok, chains, problems }, { ok: true, chains: [{ first: 1, last: issued }], problems: [] });
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
