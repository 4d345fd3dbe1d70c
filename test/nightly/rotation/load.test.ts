/**
 * A rotation under load: three processes that share a data folder, 200 requests a second, and the length of the gap.
 */

import t from 'tap';
import { appleItemId, openAccount } from '../../harness/account.ts';
import { askToken } from '../../harness/http.ts';
import { openLoad } from '../../harness/load.ts';
import { startProcess } from '../../harness/process.ts';
import { isReady } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const PER_SECOND = 200;

t.test('every token verifies under the key registered when it was issued, or is refused with 503', async (t) => {
  const { door, env, asc, rotate } = await openAccount(t);
  const replicas = await Promise.all([1, 2, 3].map(() => startProcess(t, { ...env, LOG_LEVEL: 'info' })));
  await Promise.all(replicas.map(({ url }) => isReady(url)));
  await until(
    () => replicas.every(({ output }) => output().includes('"event":"key_registered"')),
    'all to have looked',
  );
  const old = await asc.appKey(appleItemId);

  const answers: { status: number; retryAfter: string | null; code: string | undefined }[] = [];
  const ask = async (url: string) => {
    const answer = await askToken(url);
    const { code } = (await answer.json()) as { code?: string };
    answers.push({ status: answer.status, retryAfter: answer.headers.get('retry-after'), code });
  };
  const load = openLoad(PER_SECOND, (index) => ask(replicas[index % replicas.length]?.url ?? ''));
  const moreTokens = async (count: number) => {
    const before = answers.length;
    const issued = () => answers.slice(before).filter(({ status }) => status === 200).length;
    await until(() => issued() >= count, `${count} more tokens`);
  };
  await moreTokens(PER_SECOND);
  const { code, output } = await rotate();
  await moreTokens(PER_SECOND);
  await load.end();
  t.equal(code, 0, output);

  const now = await asc.appKey(appleItemId);
  t.not(now?.id, old?.id);
  const issued = replicas.flatMap((replica) =>
    replica
      .output()
      .split('\n')
      .filter((line) => line.includes('"event":"install_token_issued"'))
      .map((line) => JSON.parse(line) as { time: string; keyId: string })
      .map(({ time, keyId }) => ({ at: Date.parse(time), keyId })),
  );
  const times = (keyId: string | undefined) => issued.filter((one) => one.keyId === keyId).map(({ at }) => at);
  const [lastOld, firstNew] = [Math.max(...times(old?.id)), Math.min(...times(now?.id))];
  const removed = door.passed.find(({ method, status }) => method === 'DELETE' && status === 204);
  const added = door.passed.findLast(({ method, status }) => method === 'POST' && status === 201);
  t.ok(removed && lastOld < removed.inAt, 'the last token of the old key is older than its removal');
  t.ok(added?.outAt !== undefined && firstNew >= added.outAt, 'the first of the new key is younger than its adding');
  t.equal(times(old?.id).length + times(now?.id).length, issued.length, 'there are no others');

  const refused = answers.filter(({ status }) => status !== 200);
  t.ok(refused.length > 0, 'there was a gap');
  const others = refused.filter(
    ({ status, code, retryAfter }) => status !== 503 || code !== 'not_registered' || !/^\d+$/.test(retryAfter ?? ''),
  );
  t.strictSame(others, [], 'every refusal is a 503 with Retry-After');
  t.ok(
    replicas.every(({ output }) => output().split('"event":"listening"').length === 2),
    'nobody was restarted',
  );
  t.comment(
    `${answers.length} requests, ${refused.length} refused with 503; ${firstNew - lastOld} ms without tokens;`,
    `Apple had no key for ${(added?.outAt ?? 0) - (removed?.inAt ?? 0)} ms`,
  );
});
