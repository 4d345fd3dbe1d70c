/** The audit file: its content, that nothing is lost, that tampering is detected, and that a killed writer does no harm. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openAudit } from '../../src/audit/audit.ts';
import { type AuditEntry, readChain } from '../../src/audit/chain.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { runWebdist, startProcess } from '../harness/process.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { isReady, startReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';

const entry = (nonce: string): AuditEntry => ({
  at: '2026-11-21T10:00:00.000Z',
  nonce,
  keyId: '0f3c8a52-3a5e-4b0e-9d59-6f2f3b3f2a11',
  app: 'com.example.trailmap',
  dtype: 'download',
  caller: 'page',
});

const failing = (t: Test) => ({
  written: () => undefined,
  failed: (error: unknown) => t.fail('a write failed', { error }),
});

async function read(path: string) {
  const nonces: string[] = [];
  let torn = 0;
  let lines = 0;
  for await (const line of readChain(path, (bytes) => (torn = bytes))) {
    lines += 1;
    if (line.nonce) nonces.push(line.nonce);
  }
  return { nonces, torn, lines };
}

t.test('every token has a line, flushed by an orderly shutdown; verify and find read it', async (t) => {
  const sandbox = await startSandbox(t);
  const path = join(temporaryFolder(t), 'audit.jsonl');
  const service = await startReady(t, sandbox, { WEBDIST_AUDIT: path });
  const nonces: string[] = [];
  for (let n = 0; n < 20; n++) nonces.push(((await (await askToken(service.url)).json()) as { nonce: string }).nonce);
  await service.stop();
  t.strictSame((await read(path)).nonces, nonces, 'all, in order');
  t.match(service.log.text(), /"event":"audit_head"/, 'the log holds a head');
  const text = readFileSync(path, 'utf8');
  t.notMatch(text, /eyJ/, 'no token in it');
  t.match(JSON.parse(text.split('\n')[0] ?? ''), {
    app: 'com.example.trailmap',
    dtype: 'download',
    caller: 'page',
    subject: /^[0-9a-f]{12}$/,
  });

  const verified = runWebdist(t, ['audit', 'verify', path]);
  t.equal(await verified.exited, 0);
  t.match(verified.output(), /lines {2}20\nhead {3}[0-9a-f]{64}/);
  const found = runWebdist(t, ['audit', 'find', (nonces[7] ?? '').toLowerCase()], { WEBDIST_AUDIT: path });
  t.equal(await found.exited, 0);
  t.equal(JSON.parse(found.output()).nonce, nonces[7]);
  const foreign = runWebdist(t, ['audit', 'find', 'DD03CFE2-597C-4D1B-8770-DA880BDC8AC9', path]);
  t.equal(await foreign.exited, 1, 'not ours');

  const lines = text.trimEnd().split('\n');
  const tampered: Record<string, string[]> = {
    changed: lines.map((line, n) => (n === 4 ? line.replace('download', 'redownload') : line)),
    'taken out': lines.filter((_, n) => n !== 9),
    'put in': lines.toSpliced(3, 0, lines[2] ?? ''),
    swapped: [...lines.slice(0, 5), lines[6] ?? '', lines[5] ?? '', ...lines.slice(7)],
  };
  for (const [what, altered] of Object.entries(tampered)) {
    const other = join(temporaryFolder(t), 'audit.jsonl');
    writeFileSync(other, `${altered.join('\n')}\n`);
    const refused = runWebdist(t, ['audit', 'verify', other]);
    t.equal(await refused.exited, 1, `${what}: refused`);
    t.match(refused.output(), /line \d+: does not follow/);
  }
  const cut = join(temporaryFolder(t), 'audit.jsonl');
  writeFileSync(cut, `${lines.slice(0, 15).join('\n')}\n`);
  const head = /head {3}([0-9a-f]{64})/.exec(verified.output())?.[1] ?? '';
  t.equal(await runWebdist(t, ['audit', 'verify', cut]).exited, 0, 'cut off at the end: a chain all the same,');
  t.equal(await runWebdist(t, ['audit', 'verify', cut, '--head', head]).exited, 1, 'unless its end is known');
});

t.test('an incomplete last line is repaired, and the repair recorded', async (t) => {
  const path = join(temporaryFolder(t), 'audit.jsonl');
  const first = await openAudit(path, failing(t));
  first.record(entry('A'));
  await first.close();
  appendFileSync(path, '{"prev":"abc","at":"2026');
  t.strictSame(await read(path), { nonces: ['A'], torn: 24, lines: 1 });
  const second = await openAudit(path, failing(t));
  second.record(entry('B'));
  await second.close();
  t.strictSame(await read(path), { nonces: ['A', 'B'], torn: 0, lines: 3 });
  t.match(readFileSync(path, 'utf8'), /"repairedBytes":24/);
});

t.test('several writers on one file make one chain', async (t) => {
  const path = join(temporaryFolder(t), 'audit.jsonl');
  const writer = `
    import { openAudit } from './src/audit/audit.ts';
    const audit = await openAudit(process.argv[1], { written() {}, failed: console.error });
    for (let n = 0; n < 30; n++) {
      for (let i = 0; i < 10; i++) audit.record({ ...${JSON.stringify(entry('x'))}, nonce: process.pid + '-' + (n * 10 + i) });
      await new Promise((done) => setTimeout(done, 20));
    }
    await audit.close();`;
  const processes = Array.from({ length: 3 }, () =>
    spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', writer, path], {
      stdio: ['ignore', 'inherit', 'inherit'],
    }),
  );
  await Promise.all(processes.map((child) => once(child, 'close')));
  const { nonces } = await read(path);
  t.equal(nonces.length, 900);
  for (const { pid } of processes) {
    const own = nonces.filter((nonce) => nonce.startsWith(`${pid}-`)).map((nonce) => Number(nonce.split('-')[1]));
    t.strictSame(own, [...Array(300).keys()], 'each in its own order, none lost');
  }
});

t.test('kill -9 while tokens are issued: the chain is intact, and the next process continues it', async (t) => {
  const sandbox = await startSandbox(t);
  const path = join(temporaryFolder(t), 'audit.jsonl');
  const env = {
    ...sandbox.settings,
    WEBDIST_DATA_DIR: temporaryFolder(t),
    WEBDIST_AUDIT: path,
    WEBDIST_RATE_LIMIT: '100000',
    WEBDIST_RATE_LIMIT_ADDRESS: '100000',
  };
  for (let round = 0; round < 2; round++) {
    const service = await startProcess(t, env);
    await isReady(service.url);
    let gone = false;
    const load = (async () => {
      while (!gone)
        await askToken(service.url)
          .then((answer) => answer.text())
          .catch(() => (gone = true));
    })();
    const before = existsSync(path) ? readFileSync(path, 'utf8').length : 0;
    await until(() => readFileSync(path, 'utf8').length > before + 5000, 'some lines');
    service.child.kill('SIGKILL');
    await service.exited;
    gone = true;
    await load;
  }
  const last = await openAudit(path, failing(t));
  last.record(entry('LAST'));
  await last.close();
  const { nonces, torn } = await read(path);
  t.equal(nonces.at(-1), 'LAST');
  t.equal(torn, 0);
});

t.test('a file that cannot be written is refused at start-up, in one line', async (t) => {
  const sandbox = await startSandbox(t);
  const file = join(temporaryFolder(t), 'file');
  writeFileSync(file, '');
  const { exited, output } = runWebdist(t, ['serve'], {
    ...sandbox.settings,
    WEBDIST_DATA_DIR: temporaryFolder(t),
    WEBDIST_AUDIT: join(file, 'audit.jsonl'),
  });
  t.equal(await exited, 1);
  t.match(
    output(),
    /^webdist: \S+audit\.jsonl cannot be used: a part of the path is not a folder \(WEBDIST_AUDIT, uid \d+, \w+\)\. Check WEBDIST_AUDIT\.$/m,
  );
});
