/** A server that cannot read the announcement of a rotation: the command changes nothing, and names the server. */

import t from 'tap';
import { appleItemId, keyIdOf, openAccount } from '../../harness/account.ts';
import { startProcess } from '../../harness/process.ts';
import { isReady } from '../../harness/service.ts';

t.test('a suspended server', async (t) => {
  const { env, asc, rotate, to } = await openAccount(t);
  const [one, two] = [await startProcess(t, env), await startProcess(t, env)];
  await Promise.all([one, two].map(({ url }) => isReady(url)));
  const before = await asc.appKey(appleItemId);
  two.child.kill('SIGSTOP');
  const refused = await rotate();
  t.match(refused, { code: 1, output: new RegExp(`Nothing was changed, .*-${two.child.pid}-`) });
  t.equal((await asc.appKey(appleItemId))?.id, before?.id);
  t.equal(await keyIdOf(one.url), before?.id, 'the other one signs as before');
  t.equal((await rotate(['--to', to, '--ignore-silent'])).code, 0);
  two.child.kill('SIGCONT');
  t.equal((await rotate(['--rollback'])).code, 0);
  two.child.kill('SIGKILL');
  await two.exited;
  t.equal((await rotate(['--to', to])).code, 0, 'a server of this machine that was killed is not waited for');
});
