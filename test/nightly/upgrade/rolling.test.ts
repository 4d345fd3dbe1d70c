/**
 * An upgrade from the previous version under 300 requests a second: three replicas are replaced one after the other, with both
 * versions on one ledger and one channel of orders. No request fails, no install is lost, and both versions follow orders
 * of either command line.
 */

import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { noPostgres, sharedPostgres } from '../../harness/postgres.ts';
import { noPrevious, previousCommit, unpackPrevious } from '../../harness/previous.ts';
import { openProcess, type Process, runWebdist } from '../../harness/process.ts';
import { isReady } from '../../harness/service.ts';
import { addOldInstalls, lostIn, openVisitors, PER_SECOND, visitedSettings } from '../../harness/visitors.ts';

const PROBE_MS = 100;

/** What a load balancer does: it probes each replica, and sends requests to those that are ready. */
function openBalancer(t: Test) {
  const replicas = new Set<Process>();
  let ready: readonly string[] = [];
  const probe = async () => {
    const urls = await Promise.all(
      [...replicas].map(({ url }) =>
        fetch(`${url}/health/ready`).then(
          ({ ok }) => (ok ? [url] : []),
          () => [],
        ),
      ),
    );
    ready = urls.flat();
  };
  const probing = new AbortController();
  t.teardown(() => probing.abort());
  void (async () => {
    while (!probing.signal.aborted) {
      await probe();
      await delay(PROBE_MS);
    }
  })();
  return { replicas, probe, urlOf: (index: number) => ready[index % ready.length] ?? '' };
}

async function upgrade(t: Test, urlOf: (dataDir: string) => Promise<string>, dataDirOf: (replica: number) => string) {
  const folder = temporaryFolder(t);
  const previous = unpackPrevious(temporaryFolder(t));
  const url = await urlOf(join(folder, dataDirOf(0)));
  const longAgo = await addOldInstalls(url);
  // One set of settings: the key is made once.
  const settings = visitedSettings(folder, folder, url);
  const env = (replica: number) => ({
    ...settings,
    WEBDIST_DATA_DIR: join(folder, dataDirOf(replica)),
    WEBDIST_DRAIN_SECONDS: '3',
  });
  const balancer = openBalancer(t);
  const start = async (replica: number, program?: string) => {
    const one = await openProcess(env(replica), { program });
    t.teardown(() => one.end('SIGKILL'));
    await isReady(one.url);
    balancer.replicas.add(one);
    return one;
  };
  const old: Process[] = [];
  for (const replica of [0, 1, 2]) old.push(await start(replica, previous));
  await balancer.probe();
  const visitors = openVisitors(t, 'visitor', balancer.urlOf);
  await visitors.more(PER_SECOND);

  const order = async (version: string, program?: string) => {
    const command = runWebdist(t, ['packages', 'hold', version, '--yes', '--wait'], env(0), { program });
    t.equal(await command.exited, 0, command.output());
  };
  for (const [replica, one] of old.entries()) {
    await start(replica);
    one.child.kill('SIGTERM');
    t.equal(await one.exited, 0, `old replica ${replica} ends in order`);
    balancer.replicas.delete(one);
    if (replica === 2) break;
    await order(`${2_000_000_001 + replica}`);
    await order(`${2_000_000_011 + replica}`, previous);
    await visitors.more(PER_SECOND);
  }
  await visitors.more(PER_SECOND);
  await visitors.end();

  t.strictSame([visitors.failed, visitors.reverted], [[], []], 'no request failed, no dtype went back');
  t.strictSame(await lostIn(url, visitors.acknowledged, longAgo), [], 'no install is lost');
  t.comment(
    `from ${previousCommit?.slice(0, 9)}: ${visitors.answers()} requests, 0 failed, ${visitors.sentAgain()} sent again;`,
    `${visitors.acknowledged.length} installs, 0 lost`,
  );
}

t.test('three services on one data folder', { skip: noPrevious }, (t) =>
  upgrade(
    t,
    async (dataDir) => `sqlite://${dataDir}/ledger.sqlite`,
    () => 'data',
  ),
);

t.test('three replicas on PostgreSQL', { skip: noPrevious || noPostgres }, async (t) => {
  const postgres = await sharedPostgres();
  await upgrade(
    t,
    () => postgres.freshUrl(),
    (replica) => `data-${replica}`,
  );
});
