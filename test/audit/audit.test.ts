/**
 * The audit log: its content, that nothing is lost, that tampering is detected, and that killing a writer does no harm.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import t from 'tap';
import { openAudit } from '../../src/audit/audit.ts';
import { openSink } from '../../src/audit/sinks.ts';
import { openVerification, readLines } from '../../src/audit/verify.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { askToken } from '../harness/http.ts';
import { runWebdist, startProcess, webdist, webdistJson } from '../harness/process.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { isReady, startReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';
import { tokenEntry } from './entry.ts';

const silent = { written: () => undefined, failed: () => undefined, lost: () => undefined };

/** An audit log on one file. */
async function openFileAudit(path: string, maxFileBytes = 0) {
  const sink = await openSink(pathToFileURL(path).href, { maxFileBytes, otlpHeaders: {} });
  return openAudit([sink], () => silent);
}

async function read(...paths: string[]) {
  const nonces: string[] = [];
  const verification = openVerification();
  const others = await readLines(paths, (line) => {
    verification.add(line);
    if (line.nonce) nonces.push(line.nonce);
  });
  const chains = verification.reports();
  return { nonces, others, chains, problems: chains.flatMap(({ problems }) => problems) };
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
    seq: 1,
    prev: '0'.repeat(64),
    event: 'install_token_issued',
    app: 'com.example.trailmap',
    dtype: 'download',
    caller: 'page',
    subject: /^[0-9a-f]{12}$/,
  });

  const verified = await webdistJson<{ chains: { head: string }[] }>(['audit', 'verify', path]);
  t.match(verified, { ok: true, chains: [{ lines: 20, first: 1, last: 20, head: /^[0-9a-f]{64}$/ }], otherLines: 0 });
  const found = await webdist(['audit', 'find', (nonces[7] ?? '').toLowerCase()], { WEBDIST_AUDIT: path });
  t.equal(found.code, 0);
  t.equal(JSON.parse(found.stdout).nonce, nonces[7]);
  t.equal((await webdist(['audit', 'find', 'DD03CFE2-597C-4D1B-8770-DA880BDC8AC9', path])).code, 1, 'not ours');

  const lines = text.trimEnd().split('\n');
  const tampered: Record<string, readonly [lines: string[], message: RegExp]> = {
    changed: [
      lines.map((line, n) => (n === 4 ? line.replace('download', 'redownload') : line)),
      /line 6 does not follow line 5: one of them was changed/,
    ],
    'taken out': [lines.filter((_, n) => n !== 9), /line 10 is missing/],
    'several taken out': [lines.filter((_, n) => n < 5 || n > 7), /lines 6 to 8 are missing/],
    'with another number': [
      lines.map((line, n) => (n === 4 ? line.replace('"seq":5', '"seq":50') : line)),
      /line 5 is missing/,
    ],
    'appears twice': [
      lines.toSpliced(5, 0, (lines[5] ?? '').replace('com.example', 'com.evil')),
      /line 6 appears twice, with different content/,
    ],
    'at the start': [
      lines.map((line, n) => (n === 0 ? line.replace('0'.repeat(64), '1'.repeat(64)) : line)),
      /line 1 does not start the chain/,
    ],
  };
  const folder = temporaryFolder(t);
  for (const [what, [altered, message]] of Object.entries(tampered)) {
    const other = join(folder, 'tampered.jsonl');
    writeFileSync(other, `${altered.join('\n')}\n`);
    t.match((await read(other)).problems, [message], what);
  }
  const other = join(folder, 'tampered.jsonl');
  t.match(await webdist(['audit', 'verify', other]), { code: 1, stdout: /^fail .+ line 1 does not/m });

  const untouched: Record<string, string[]> = {
    'in another order': lines.toReversed(),
    'delivered twice': [...lines.slice(0, 12), ...lines.slice(6)],
    'with the prefix of a syslog file': lines.map((line) => `2026-11-21T10:00:00.0+00:00 host webdist[1]: ${line}`),
    'rotated, without the older files': lines.slice(8),
  };
  for (const [what, altered] of Object.entries(untouched)) {
    writeFileSync(other, `${altered.join('\n')}\n`);
    t.strictSame((await read(other)).problems, [], what);
  }
  const cut = join(folder, 'cut.jsonl');
  writeFileSync(cut, `${lines.slice(0, 15).join('\n')}\n`);
  const head = verified.chains[0]?.head ?? '';
  t.equal((await webdist(['audit', 'verify', cut])).code, 0, 'cut off at the end: a chain all the same,');
  t.equal((await webdist(['audit', 'verify', cut, '--head', head])).code, 1, 'unless its end is known');
});

t.test('an incomplete last line is ended, and the next process has its own chain', async (t) => {
  const path = join(temporaryFolder(t), 'audit.jsonl');
  const first = await openFileAudit(path);
  first.record(tokenEntry('A'));
  await first.close();
  appendFileSync(path, '{"chain":"abc","seq":7,"at":"2026');
  const second = await openFileAudit(path);
  second.record(tokenEntry('B'));
  await second.close();
  t.match(await read(path), { nonces: ['A', 'B'], others: 1, chains: { length: 2 }, problems: [] });
});

t.test('several processes on one file: a chain each', async (t) => {
  const path = join(temporaryFolder(t), 'audit.jsonl');
  const writer = `
    import { openAudit } from './src/audit/audit.ts';
    import { openSink } from './src/audit/sinks.ts';
    const sink = await openSink(process.argv[1], { maxFileBytes: 0, otlpHeaders: {} });
    const audit = openAudit([sink], () => ({ written() {}, failed: console.error, lost: console.error }));
    for (let n = 0; n < 30; n++) {
      for (let i = 0; i < 10; i++) audit.record({ ...${JSON.stringify(tokenEntry('x'))}, nonce: process.pid + '-' + (n * 10 + i) });
      await new Promise((done) => setTimeout(done, 20));
    }
    await audit.close();`;
  const processes = Array.from({ length: 3 }, () =>
    spawn(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', writer, pathToFileURL(path).href],
      { stdio: ['ignore', 'inherit', 'inherit'] },
    ),
  );
  await Promise.all(processes.map((child) => once(child, 'close')));
  const { nonces, chains, problems } = await read(path);
  t.equal(nonces.length, 900);
  t.match(chains, { length: 3 });
  t.strictSame(problems, []);
  for (const { pid } of processes) {
    const own = nonces.filter((nonce) => nonce.startsWith(`${pid}-`)).map((nonce) => Number(nonce.split('-')[1]));
    t.strictSame(own, [...Array(300).keys()], 'each in its own order, none lost');
  }
});

t.test('a renamed file, and the limit of its size', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'audit.jsonl');
  const audit = await openFileAudit(path, 4000);
  let recorded = 0;
  /**
   * Records lines and waits until the last of them is in the file, which may be missing or still empty while it is
   * renamed.
   */
  const record = async (count: number) => {
    for (let n = 0; n < count; n++) audit.record(tokenEntry(`line-${++recorded}`));
    const last = `line-${recorded}`;
    await until(async () => (await read(path).catch(() => undefined))?.nonces.at(-1) === last, last);
  };
  await record(3);
  renameSync(path, join(folder, 'moved'));
  await record(2);
  t.equal((await read(path)).nonces.length, 2, 'a renamed file is noticed with the next lines');
  renameSync(path, join(folder, 'moved-again'));
  await audit.reopen();
  t.equal(statSync(path).size, 0, 'after reopening, the new file is there at once');
  await record(10);
  await record(1);
  t.equal((await read(path)).nonces.length, 1, 'a file that has half of the limit is renamed');
  await record(10);
  await record(1);
  await audit.close();
  t.ok(statSync(`${path}.1`).size + statSync(path).size < 4000 + 10 * 400);
  t.match(await read(path, `${path}.1`), { chains: [{ first: 16, last: 27 }], problems: [] }, 'older lines are gone');
});

t.test('kill -9 while tokens are issued: the chains are intact', async (t) => {
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
  const last = await openFileAudit(path);
  last.record(tokenEntry('LAST'));
  await last.close();
  const { nonces, chains, problems } = await read(path);
  t.equal(nonces.at(-1), 'LAST');
  t.match(chains, { length: 3 });
  t.strictSame(problems, []);
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
