/** Wrong usage, closed pipes, terminals and signals: clear and safe messages, and the right exit code. */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { startLicenceServer } from '../harness/licence.ts';
import { listen } from '../harness/port.ts';
import { runWebdist, webdist, webdistJson } from '../harness/process.ts';
import { setFault, startSandbox } from '../harness/sandbox.ts';
import { noTerminal, openTerminal } from '../harness/terminal.ts';

const escapeCode = '\u001b';

t.test('wrong usage exits 2 and names the right one', async (t) => {
  const cases: readonly (readonly [args: string[], says: RegExp])[] = [
    [['docter'], /unknown command 'docter'\n\(Did you mean doctor\?\)/],
    [['keys', 'lst'], /unknown command 'lst'\n\(Did you mean list\?\)/],
    [['domains', 'list', '--jsn'], /unknown option '--jsn'\n\(Did you mean --json\?\)/],
    [['token', 'mint', '--app'], /argument missing/],
    [['keys', 'show'], /missing required argument 'id'/],
    [['keys', 'show', 'a', 'b'], /too many arguments/],
    [['doctor', '--public', 'example.com'], /Expected a URL/],
    [['completion', 'tcsh'], /bash, zsh, fish/],
    [['keygen', '--out', 'a', '--in', 'b'], /--out or --in, not both/],
    [['keygen', '--in', 'file:///a.pem'], /No key can be created under the scheme "file:?"/],
  ];
  for (const [args, says] of cases) {
    const { code, stdout, stderr } = await webdist(args);
    t.equal(code, 2, args.join(' '));
    t.equal(stdout, '');
    t.match(stderr, says);
    t.notMatch(stderr, /at .*\.ts:\d+/);
  }
});

t.test('help and version are data', async (t) => {
  t.match(await webdist([]), {
    code: 0,
    stdout: /^The demo, .*\n {2}npm run -s webdist -- serve\n\nUsage: webdist/,
    stderr: '',
  });
  for (const group of ['apps', 'audit', 'domains', 'keys', 'ledger', 'packages', 'token'])
    t.match(await webdist([group]), { code: 0, stdout: new RegExp(`^Usage: webdist ${group}`), stderr: '' });
  t.match(await webdist(['sandbox', 'device']), { code: 0, stdout: /^Usage: webdist sandbox device/, stderr: '' });
  t.match(await webdist(['--help']), { code: 0, stdout: /doctor/, stderr: '' });
  t.match(await webdist(['help', 'keys']), { code: 0, stdout: /Example:\n {2}\$ webdist keys list\n/ });
  t.match(await webdist(['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ });
});

t.test('completion: bash proposes commands and options', async (t) => {
  const script = join(temporaryFolder(t), 'webdist.bash');
  writeFileSync(script, (await webdist(['completion', 'bash'])).stdout);
  const proposed = (...words: string[]) => {
    const line = words.map((word) => `'${word}'`).join(' ');
    const ask = `source ${script}; COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _webdist; echo "\${COMPREPLY[*]}"`;
    return spawnSync('bash', ['-c', ask], { encoding: 'utf8' }).stdout.trim();
  };
  t.equal(proposed('webdist', 'doc'), 'doctor');
  t.match(proposed('webdist', 'keys', ''), /^list show add remove/);
  t.equal(proposed('webdist', 'token', 'mint', '--s'), '--subject');
  t.equal(proposed('webdist', 'keys', 'remove', 'some-id', '--y'), '--yes');
  t.equal(spawnSync('bash', ['-n', script]).status, 0);
  t.match((await webdist(['completion', 'zsh'])).stdout, /bashcompinit/);
  t.match((await webdist(['completion', 'fish'])).stdout, /^complete -c webdist .+doctor/m);
});

t.test('a reader that closes the pipe is not an error', async (t) => {
  const ask = 'set -o pipefail; "$0" -- src/main.ts --help | true; echo "exit $?"';
  const { stdout, stderr } = spawnSync('bash', ['-c', ask, process.execPath], { encoding: 'utf8' });
  t.equal(stdout, 'exit 0\n');
  t.equal(stderr, '');
});

t.test('doctor as a process: a table, JSON, and the exit code', async (t) => {
  const { settings } = await startSandbox(t);
  const licence = await startLicenceServer(t);
  const env: Record<string, string> = {
    ...settings,
    ...licence.settings,
    WEBDIST_DATA_DIR: join(temporaryFolder(t), 'data'),
  };
  await webdist(['keys', 'add', '--app', '6500000001'], env);
  const bad = await webdist(['doctor'], env);
  t.equal(bad.code, 1);
  t.match(
    bad.stdout,
    /^fail {2}domain-registered +neither example\.com nor .*\n +why: .+\n +fix: npm run -s webdist -- domains add example\.com$/m,
  );
  await webdist(['domains', 'add', 'example.com'], env);
  const good = await webdist(['doctor'], env);
  t.match(good, {
    code: 0,
    stderr: '',
    stdout: /^Private checks\n[\s\S]+\n\d+ checks: 0 fail, 0 warn, \d+ info, \d+ ok\.\n$/,
  });
  t.notOk(good.stdout.includes(escapeCode), 'no colour outside a terminal');
  const report = await webdistJson<{ ok: boolean; checks: object[] }>(['doctor'], env);
  t.match(report, { ok: true });
  t.match(report.checks[0], { id: 'settings', section: 'private', result: 'ok', found: String, why: String });
  const nothing = await webdist(['doctor', '--json']);
  t.equal(nothing.code, 1);
  t.match(JSON.parse(nothing.stdout), {
    ok: false,
    checks: [{ id: 'settings', result: 'fail', found: /WEBDIST_DOMAIN/ }],
  });
});

t.test('at a terminal', { skip: noTerminal }, async (t) => {
  const { settings, ...sandbox } = await startSandbox(t);
  const env: Record<string, string> = Object.fromEntries(
    Object.entries(settings).filter(([name]) => name.startsWith('ASC_')),
  );
  /** Types `answer`, if there is one, once the screen shows `prompt`. */
  const type = async (args: string, prompt: RegExp, answer: string, more: Record<string, string> = {}) => {
    const terminal = openTerminal(t, args, { ...env, ...more });
    await terminal.shows(prompt);
    // A command that asks nothing may already have ended, and its terminal then accepts no input.
    if (answer !== '') terminal.type(answer);
    return { code: await terminal.ended, screen: terminal.screen() };
  };
  const { id } = await webdistJson<{ id: string }>(['domains', 'add', 'example.com'], env);
  const isThere = async () => (await webdistJson<object[]>(['domains', 'list'], env)).length === 1;

  t.match(await type(`domains remove ${id}`, /\[y\/N\]/, 'n\n'), { code: 1, screen: /Nothing was changed/ });
  t.match(await type(`domains remove ${id}`, /\[y\/N\]/, '\u0003'), { code: 1, screen: /Nothing was changed/ });
  t.ok(await isThere(), 'no, and Ctrl-C, change nothing');
  t.ok((await type('domains list', /DOMAIN/, '')).screen.includes(`${escapeCode}[1mID`), 'colours');
  const plain = await type('domains list', /DOMAIN/, '', { NO_COLOR: '1' });
  t.notOk(plain.screen.includes(`${escapeCode}[1m`), 'NO_COLOR');
  await setFault({ settings, ...sandbox }, { latencyMs: 2500, times: 1 });
  t.match((await type('domains list', /DOMAIN/, '')).screen, /Fetching the domains … 1 s/, 'progress');
  const folders = { WEBDIST_PACKAGES_DIR: temporaryFolder(t), WEBDIST_DATA_DIR: temporaryFolder(t) };
  const pulled = await type('packages pull', /pulled and checked/, '', { ...settings, ...folders });
  t.match(pulled.screen, /variant\/\S+ {2}\[#+\.*\] \d+ % 0\.\d MB/, 'progress in bytes');
  t.match(await type(`domains remove ${id}`, /\[y\/N\]/, 'y\n'), { code: 0, screen: /removed {2}/ });
  t.notOk(await isThere());
});

t.test('Ctrl-C while App Store Connect is slow ends at once', async (t) => {
  const { settings } = await startSandbox(t);
  const silent = createServer();
  const baseUrl = `http://127.0.0.1:${await listen(silent)}`;
  t.teardown(() => {
    silent.closeAllConnections();
    silent.close();
  });
  const asked = once(silent, 'request');
  const running = runWebdist(t, ['keys', 'list'], { ...settings, ASC_BASE_URL: baseUrl });
  await asked;
  running.child.kill('SIGINT');
  t.equal(await running.exited, null, 'ended by the signal');
  t.equal(running.output(), '');
});
