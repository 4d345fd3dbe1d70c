/** This machine's clock is set, or slewed, between two checks, or Apple's `Date` is wrong: no unusable token, no wrong date. */

import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { decodeJwt } from 'jose';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { post } from '../harness/http.ts';
import { setFault, startSandbox } from '../harness/sandbox.ts';
import { startReady } from '../harness/service.ts';

const DAY = 86_400;
const LIFETIME = 1200;

const generous = { WEBDIST_RATE_LIMIT: '100000', WEBDIST_RATE_LIMIT_ADDRESS: '100000' };

/** A service that has compared its clock with Apple's, and whose clock can be set. */
async function openSteppable(test: Test) {
  const sandbox = await startSandbox(test);
  const path = join(temporaryFolder(test), 'ledger.sqlite');
  const zeroMs = Date.now() - performance.now();
  let aheadMs = 0;
  const running = await startReady(
    test,
    sandbox,
    { WEBDIST_LEDGER: `sqlite://${path}`, WEBDIST_LEDGER_RETENTION_DAYS: '365', WEBDIST_ANONYMOUS: 'any', ...generous },
    { now: () => Date.now() + aheadMs, timeOriginMs: () => zeroMs + aheadMs },
  );
  const database = new DatabaseSync(path);
  test.teardown(() => database.close());
  const device = async () => {
    const { body, cookie = '' } = await post(`${running.url}/install-token`, {});
    const tap = async () => (await post(`${running.url}/installs`, { nonce: body['nonce'] }, { cookie })).status;
    const ask = () => post(`${running.url}/install-token`, {}, { cookie });
    return { tap, ask };
  };
  return { ...running, sandbox, database, device, set: (seconds: number) => (aheadMs = seconds * 1000) };
}

/** Why a token is unusable by the true time; undefined if it is usable, or if none was issued because of the clock. */
function fault({ status, body }: Awaited<ReturnType<typeof post>>): string | undefined {
  if (status === 503 && body['code'] === 'clock_off') return undefined;
  if (status !== 200) return `${status} ${body['code']}`;
  const { iat = 0, exp = 0 } = decodeJwt(String(body['token']));
  const now = Date.now() / 1000;
  if (iat > now || iat < now - 120) return `iat is ${iat - now} s from now`;
  return exp < now + LIFETIME / 2 - 60 ? `it expires in ${exp - now} s` : undefined;
}

const steps = [600, DAY, 400 * DAY, 45, 5].flatMap((seconds) => [seconds, -seconds]);

t.test('stepping and slewing', async (t) => {
  const { device, set, database, service } = await openSteppable(t as Test);
  const known = await device();
  await known.tap();
  database.exec('UPDATE install SET redownload_at = installed_at');
  const dates = () =>
    database
      .prepare('SELECT installed_at FROM install')
      .all()
      .map((row) => Number(row['installed_at']));
  for (const seconds of steps) {
    const fresh = await device();
    set(seconds);
    const isUsed = Math.abs(seconds) <= 60;
    const what = `${seconds} s`;
    const answer = await known.ask();
    t.equal(fault(answer), undefined, `stepped by ${what}`);
    t.strictSame([answer.status, service.health().ready], [isUsed ? 200 : 503, isUsed], `stepped by ${what}: in use`);
    if (isUsed) t.equal(answer.body['dtype'], 'redownload', 'it stays one');
    t.equal(await fresh.tap(), isUsed ? 204 : 503, 'evidence');
    set(0);
    const afterwards = await known.ask();
    t.equal(fault(afterwards), undefined);
    t.strictSame([afterwards.status, afterwards.body['dtype']], [200, 'redownload'], 'set right: used at once');
    for (let part = 1; part <= 20; part++) {
      set((seconds * part) / 20);
      t.equal(fault(await known.ask()), undefined, `slewed to ${part}/20 of ${what}`);
    }
    set(0);
  }
  for (const date of dates()) t.ok(Math.abs(date - Date.now() / 1000) < 100, 'every install has its true date');
  t.equal(dates().length, 5, 'and none is missing');
});

t.test("Apple's Date is wrong in one of three responses", async (t) => {
  const { device, sandbox, service } = await openSteppable(t as Test);
  const known = await device();
  for (const clockSkewSeconds of [600, -600, DAY, -DAY, 400 * DAY, -400 * DAY]) {
    await setFault(sandbox, { clockSkewSeconds, times: 1 });
    await service.reconcile();
    const answer = await known.ask();
    t.strictSame([answer.status, fault(answer)], [200, undefined], `${clockSkewSeconds} s`);
  }
});
