/** The overlap of a rotation: two keys of the account, until the tokens of the old one have expired. The command's time is virtual. */

import { readFileSync } from 'node:fs';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { readConfig } from '../../../src/config/config.ts';
import { spki } from '../../../src/jws.ts';
import { isUnfinished, type Notice } from '../../../src/registration/rotation/notice.ts';
import { planChange, planRollback, withOverlap } from '../../../src/registration/rotation/plan.ts';
import { rotate } from '../../../src/registration/rotation/rotate.ts';
import { watchNotice } from '../../../src/registration/rotation/watch.ts';
import { openFileRegistrationStore } from '../../../src/registration/store-file.ts';
import type { Verdict } from '../../../src/sandbox/device/judge.ts';
import { openLocalSigner } from '../../../src/signer/local.ts';
import { keyIdOf, openAccount } from '../../harness/account.ts';
import { askToken } from '../../harness/http.ts';
import { runWebdist } from '../../harness/process.ts';
import { startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';
import { openVirtualClock } from '../../harness/virtual-clock.ts';

// Most of a test is waiting; each has an account of its own.
t.jobs = 4;

/** Long enough for everything before the overlap, and for the removal after it. */
const STEPS_SECONDS = 5;
const BEGAN_AT = Date.parse('2026-11-26T10:00:00Z');

type Command = {
  readonly rollback?: true;
  readonly overlap?: number;
  /** Seconds after the first command; negative on a machine whose clock is behind. */
  readonly at?: number;
};

/** A server that signs with the key of the account (or of its app), and commands that rotate it. */
async function open(t: Test, scope: 'app' | 'account' = 'account') {
  const { sandbox, env, asc, dataDir, to, rotate: runRotate } = await openAccount(t);
  const settings = { ...env, WEBDIST_KEY_SCOPE: scope };
  const server = await startReady(t, sandbox, settings);
  await server.service.reconcile();
  const config = readConfig({ ...settings, PORT: '0' });
  const [app] = config.apps;
  if (!app) throw new Error('There is no app.');
  const store = openFileRegistrationStore(dataDir);
  const newHalf = spki(openLocalSigner(readFileSync(new URL(to), 'utf8'), 'file').signer.publicKey);
  const oldHalf = (await asc.listKeys())[0]?.spki ?? '';

  return {
    sandbox,
    settings,
    server,
    asc,
    to,
    runRotate,
    oldId: await keyIdOf(server.url),
    /** Issues a token. Returns the function with which a device judges it later: the checks that it fails. */
    async issue() {
      const { token } = (await (await askToken(server.url)).json()) as { token: string };
      return async () => {
        const response = await fetch(`${sandbox.baseUrl}/_sandbox/device`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ token }),
        });
        const { checks } = (await response.json()) as Verdict;
        return checks.filter(({ ok }) => !ok).map(({ name }) => name);
      };
    },
    /** Begins `webdist keys rotate`. Its time passes only with `clock.advance`, so the command dies when that ends. */
    async begin({ rollback, overlap: requested, at = 0 }: Command = {}) {
      const clock = openVirtualClock(BEGAN_AT + at * 1000);
      const previous = await store.readNotice();
      const wanted = { config, app, to: newHalf, held: [oldHalf, newHalf] };
      const change = rollback ? planRollback(previous) : await planChange(wanted, previous, { asc, store });
      if (!change) throw new Error('There is nothing to change.');
      const { tokenLifetimeSeconds } = config;
      const lines: string[] = [];
      const done = rotate(withOverlap(change, { requested, tokenLifetimeSeconds }), {
        asc: clock.track(asc),
        store: clock.track(store),
        previous,
        readByAll: async () => undefined,
        report: (line) => void lines.push(line),
        clock,
      });
      const outcome = done.then(
        () => 'done',
        (error: Error) => error,
      );
      await clock.advance(STEPS_SECONDS * 1000);
      return { lines, outcome, advance: (seconds: number) => clock.advance(seconds * 1000) };
    },
    /** The ids of the registered keys, the old key's as `old`. */
    registered: async () => (await asc.listKeys()).map((key) => (key.spki === oldHalf ? 'old' : 'new')).sort(),
    isUnfinished: async () => isUnfinished(await store.readNotice()),
    signsWith: (url: string, half: 'old' | 'new') =>
      until(async () => {
        const key = (await asc.listKeys()).find((one) => one.spki === (half === 'old' ? oldHalf : newHalf));
        return key && (await keyIdOf(url)) === key.id;
      }, `signing with the ${half} key`),
  };
}

t.test(
  'a device accepts a token of the old key during the overlap, and not after it',
  { buffered: true },
  async (t) => {
    const account = await open(t);
    const { server, sandbox, settings, registered, signsWith } = account;
    const [early, late] = [await account.issue(), await account.issue()];
    const { advance, outcome, lines } = await account.begin();
    t.match(lines.at(-1), /^The old key stays registered for another 1200 s/);
    t.strictSame(await registered(), ['new', 'old']);
    await signsWith(server.url, 'new');
    t.strictSame(await early(), []);
    t.strictSame(await (await account.issue())(), [], 'and a token of the new key');

    await server.service.reconcile();
    await signsWith(server.url, 'new');
    const another = await startReady(t, sandbox, settings);
    await another.service.reconcile();
    await signsWith(another.url, 'new');

    await advance(1200 - STEPS_SECONDS - 1);
    t.strictSame(await registered(), ['new', 'old'], 'a second before the end');
    await advance(STEPS_SECONDS);
    t.equal(await outcome, 'done');
    t.strictSame(await registered(), ['new']);
    t.strictSame(await late(), ['kid']);
    await server.service.reconcile();
    await signsWith(server.url, 'new');
    t.strictSame(await (await account.issue())(), []);
    t.notOk(await account.isUnfinished());
  },
);

/** The keys that are registered this many seconds after the switch, at the latest. */
const lengths: [name: string, command: Command, after: [seconds: number, keys: string[]][]][] = [
  [
    'the default is the lifetime of a token',
    {},
    [
      [1190, ['new', 'old']],
      [1210, ['new']],
    ],
  ],
  ['0: none', { overlap: 0 }, [[0, ['new']]]],
  [
    'a minute',
    { overlap: 60 },
    [
      [50, ['new', 'old']],
      [70, ['new']],
    ],
  ],
];

for (const [name, command, after] of lengths)
  t.test(`length: ${name}`, { buffered: true }, async (t) => {
    const { begin, registered, server, signsWith } = await open(t);
    const { advance, outcome } = await begin(command);
    let passed = 0;
    for (const [seconds, keys] of after) {
      await advance(seconds - passed);
      passed = seconds;
      t.strictSame(await registered(), keys, `${seconds} s`);
    }
    t.equal(await outcome, 'done');
    await signsWith(server.url, 'new');
  });

/** The next command after one that died at the beginning of its overlap of 1200 s, and the overlap that is left to it. */
const continuations: [name: string, command: Command, leftSeconds: number, keys: string[]][] = [
  ['while old tokens are alive', { at: 700 }, 500, ['new']],
  ['when they have expired', { at: 5000 }, 0, ['new']],
  ['with --overlap 0', { at: 700, overlap: 0 }, 0, ['new']],
  ['with a longer overlap', { at: 700, overlap: 1800 }, 1100, ['new']],
  ['on a machine whose clock is behind', { at: -3600 }, 1200, ['new']],
  ['with --rollback', { at: 700, rollback: true }, 1200, ['old']],
  ['with --rollback --overlap 0', { at: 700, rollback: true, overlap: 0 }, 0, ['old']],
];

for (const [name, command, leftSeconds, keys] of continuations)
  t.test(`interrupted, and continued ${name}`, { buffered: true }, async (t) => {
    const { begin, registered, server, signsWith, isUnfinished } = await open(t);
    await begin();
    await signsWith(server.url, 'new');
    t.ok(await isUnfinished());
    const { advance, outcome, lines } = await begin(command);
    if (!command.rollback) t.notMatch(lines.join(), /Pausing/, 'servers sign all the time');
    if (leftSeconds > 0) {
      await advance(leftSeconds - 3 * STEPS_SECONDS);
      t.strictSame(await registered(), ['new', 'old']);
    }
    await advance(3 * STEPS_SECONDS);
    t.equal(await outcome, 'done');
    t.strictSame(await registered(), keys);
    t.notOk(await isUnfinished());
    await signsWith(server.url, command.rollback ? 'old' : 'new');
  });

t.test('App Store Connect refuses a second key: no overlap, and the report says so', { buffered: true }, async (t) => {
  const { begin, registered, sandbox, server, signsWith } = await open(t);
  await fetch(`${sandbox.baseUrl}/_sandbox/faults`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ method: 'POST', status: 409, times: 1 }),
  });
  const { lines, outcome } = await begin();
  t.match(lines.join('\n'), /There is no overlap: the old key must be removed first/);
  t.equal(await outcome, 'done');
  t.strictSame(await registered(), ['new']);
  await signsWith(server.url, 'new');
});

t.test('the new key is removed by a person during the overlap: the old key stays', { buffered: true }, async (t) => {
  const { begin, registered, asc, oldId, server, signsWith } = await open(t);
  const { advance, outcome } = await begin();
  for (const { id } of await asc.listKeys()) if (id !== oldId) await asc.removeKey(id);
  await advance(1200);
  t.match(await outcome, { code: 'state_invalid', message: /no longer registered, so the old key was not removed/ });
  t.strictSame(await registered(), ['old']);
  const back = await begin({ at: 1300, rollback: true });
  t.equal(await back.outcome, 'done');
  await signsWith(server.url, 'old');
});

t.test('the key of one app has no overlap', { buffered: true }, async (t) => {
  const { begin, registered } = await open(t, 'app');
  await t.rejects(begin({ overlap: 60 }), { code: 'usage_invalid', message: /only for a key of the account/ });
  t.strictSame(await registered(), ['old']);
  const { outcome } = await begin();
  t.equal(await outcome, 'done');
  t.strictSame(await registered(), ['new']);
});

t.test('servers follow the beginning and the end of an overlap, not its heartbeats or a dead command', async (t) => {
  const clock = openVirtualClock();
  let notice: Notice | undefined;
  const write = (phase: Notice['phase'], run: string, beat: number) => {
    const key = { spki: 'bmV3', keyId: 'new' };
    notice = { run, beat, phase, scope: 'account', appleItemIds: ['6500000001'], to: key, isRollback: false };
  };
  const followed: string[] = [];
  const watch = await watchNotice({
    notices: { readNotice: async () => notice },
    follow: async (status) => void followed.push(`${status.notice?.run} ${status.notice?.phase} ${status.isAbandoned}`),
    log: pino({ level: 'silent' }),
    clock,
  });
  const steps: [phase: Notice['phase'], run: string, beats: number, silentSeconds: number][] = [
    ['switching', 'first', 1, 0],
    ['overlap', 'first', 5, 60],
    ['overlap', 'second', 5, 0],
    ['done', 'second', 1, 60],
  ];
  for (const [phase, run, beats, silentSeconds] of steps) {
    for (let beat = 1; beat <= beats; beat++) {
      write(phase, run, beat);
      await clock.advance(1000);
    }
    await clock.advance(silentSeconds * 1000);
  }
  t.strictSame(followed, ['first switching false', 'first overlap false', 'second overlap false', 'second done false']);
  await watch.close();
});

t.test('as a command: --dry-run, Ctrl-C while it waits, and the rest', { buffered: true }, async (t) => {
  const { settings, server, to, runRotate, registered, signsWith } = await open(t);
  t.match(await runRotate(['--to', to, '--overlap', '1.5'], settings), {
    code: 2,
    output: /whole seconds, 0 to 86400/,
  });
  const dry = await runRotate(['--to', to, '--dry-run'], settings);
  t.match(dry, { code: 0, output: /Would replace .*, and remove the old key 1200 s later\./ });
  const { child, exited, output } = runWebdist(t, ['keys', 'rotate', '--yes', '--to', to], settings);
  await until(() => output().includes('stays registered for another'), output);
  child.kill('SIGINT');
  t.equal(await exited, 130);
  await signsWith(server.url, 'new');
  t.strictSame(await registered(), ['new', 'old']);
  const { code, output: said } = await runRotate(['--to', to, '--overlap', '1'], settings);
  t.equal(code, 0, said);
  t.strictSame(await registered(), ['new']);
  await signsWith(server.url, 'new');
});
