/**
 * The command is killed (`kill -9`) at every step: servers follow what is registered, and the next run completes the
 * rotation.
 */

import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { appleItemId, keyIdOf, openAccount } from '../../harness/account.ts';
import type { Passed } from '../../harness/door.ts';
import { runWebdist } from '../../harness/process.ts';
import { startReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

/** Where the command dies, and with which key the servers sign after that; `none`: they answer 503. */
type Death = {
  readonly name: string;
  readonly when:
    | { readonly said: RegExp }
    | { readonly at: 'in' | 'out'; readonly method: string; readonly nth: number };
  readonly left: 'old' | 'new' | 'none';
  /** The request under way still arrives, this much later. */
  readonly lateMs?: number;
  readonly next?: '--rollback';
};

const deaths: readonly Death[] = [
  { name: 'after announcing', when: { said: /Announcing/ }, left: 'old' },
  { name: 'while pausing', when: { said: /Pausing/ }, left: 'old' },
  { name: 'adding, before Apple knows', when: { at: 'in', method: 'POST', nth: 1 }, left: 'old' },
  { name: 'adding was refused', when: { at: 'out', method: 'POST', nth: 1 }, left: 'old' },
  { name: 'removing, before Apple knows', when: { at: 'in', method: 'DELETE', nth: 1 }, left: 'old' },
  { name: 'removing, late', when: { at: 'in', method: 'DELETE', nth: 1 }, lateMs: 3000, left: 'none' },
  { name: 'removed', when: { at: 'out', method: 'DELETE', nth: 1 }, left: 'none' },
  {
    name: 'removed, then rolled back',
    when: { at: 'out', method: 'DELETE', nth: 1 },
    left: 'none',
    next: '--rollback',
  },
  { name: 'adding again, before Apple knows', when: { at: 'in', method: 'POST', nth: 2 }, left: 'none' },
  { name: 'added', when: { at: 'out', method: 'POST', nth: 2 }, left: 'new' },
  { name: 'added, then rolled back', when: { at: 'out', method: 'POST', nth: 2 }, left: 'new', next: '--rollback' },
  { name: 'reading what is there', when: { at: 'out', method: 'GET', nth: 1 }, left: 'new' },
];

t.jobs = 4;

for (const death of deaths)
  t.test(death.name, { buffered: true, timeout: 120_000 }, async (t) => {
    const account = await openAccount(t);
    const { sandbox, door, env, asc, to, rotate } = account;
    const replicas = [await startReady(t, sandbox, env), await startReady(t, sandbox, env)];
    await Promise.all(replicas.map(({ service }) => service.reconcile()));
    const old = await asc.appKey(appleItemId);
    const seen = watchTokens(
      t,
      replicas.map(({ url }) => url),
    );

    await killAt(t, death, account);
    const registered = await asc.appKey(appleItemId);
    if (death.left === 'none')
      await until(
        () => replicas.every(({ service }) => service.health().apps['com.example.trailmap']?.registration.code),
        'the servers to see that nothing is registered',
      );
    else
      for (const { url } of replicas)
        await until(async () => (await keyIdOf(url)) === registered?.id, 'signing with what is registered');
    t.equal(registered === null ? 'none' : registered.id === old?.id ? 'old' : 'new', death.left);

    const { code, output } = await rotate(death.next ? [death.next] : ['--to', to], env);
    t.equal(code, 0, output);
    const [key, ...others] = await asc.listKeys();
    t.strictSame(others, [], 'exactly one key is registered');
    t.equal(key?.spki === old?.spki, death.next === '--rollback', 'and it is the right one');
    for (const { url } of replicas) await until(async () => (await keyIdOf(url)) === key?.id, 'all to sign with it');
    await seen.end();
    for (const { outAt = 0 } of removals(door.passed))
      t.notOk(
        seen.tokens.some(({ sentAt, keyId }) => sentAt > outAt && keyId === old?.id && keyId !== key?.id),
        'no token of the removed key after it was removed',
      );
    t.ok(seen.tokens.length > 10, 'tokens were asked for all the time');
  });

const removals = (passed: readonly Passed[]) =>
  passed.filter(({ method, status }) => method === 'DELETE' && status === 204);

async function killAt(t: Test, { when, lateMs }: Death, { door, env, to }: Awaited<ReturnType<typeof openAccount>>) {
  const command = runWebdist(t, ['keys', 'rotate', '--yes', '--to', to], env);
  const kill = async () => {
    command.child.kill('SIGKILL');
    await command.exited;
  };
  if ('said' in when) {
    await until(() => when.said.test(command.output()), 'the command to get there');
    await kill();
    return;
  }
  let count = 0;
  await new Promise<void>((resolve) => {
    door.hook = async (at, passed) => {
      // A read counts as a separate step only once the new key is registered.
      const isSought = passed.method !== 'GET' || door.passed.filter(({ method }) => method === 'POST').length >= 4;
      if (at !== when.at || passed.method !== when.method || !isSought || ++count < when.nth) return;
      door.hook = undefined;
      await kill();
      if (at === 'in' && lateMs !== undefined) await delay(lateMs);
      resolve();
      if (at === 'in' && lateMs === undefined) await new Promise(() => undefined);
    };
  });
  if (lateMs !== undefined) await until(() => removals(door.passed).length > 0, 'the late request');
}

/** Requests tokens from servers continuously. */
function watchTokens(t: Test, urls: readonly string[]) {
  const tokens: { sentAt: number; keyId: string }[] = [];
  let ended = false;
  const asking = (async () => {
    while (!ended)
      for (const url of urls) {
        const sentAt = Date.now();
        tokens.push({ sentAt, keyId: await keyIdOf(url) });
        await delay(20);
      }
  })();
  const end = async () => {
    ended = true;
    await asking;
  };
  t.teardown(end);
  return { tokens, end };
}
