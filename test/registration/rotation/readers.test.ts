/** A rotation changes nothing at Apple before every running server has read its announcement. */

import { spawnSync } from 'node:child_process';
import { hostname } from 'node:os';
import t from 'tap';
import { readByEveryReplica } from '../../../src/registration/rotation/readers.ts';
import { openVirtualClock } from '../../harness/virtual-clock.ts';

/** The id of a process that has ended. */
const gone = `${hostname()}-${spawnSync('true').pid}-0a1b`;
const own = `${hostname()}-${process.pid}-0a1b`;

/** A server, the second in which it reads the notice (undefined: never), and how long ago it reported. */
type Server = [id: string, readsAt: number | undefined, silentSeconds?: number];

const cases: [name: string, servers: Server[], waitsFor: string[]][] = [
  ['no server', [], []],
  [
    'all have read it',
    [
      [own, 0],
      ['pod-a-1-0a1b', 0],
    ],
    [],
  ],
  [
    'one reads it late',
    [
      [own, 0],
      ['pod-a-1-0a1b', 3],
    ],
    [],
  ],
  ['one reads it at the last moment', [['pod-a-1-0a1b', 7.5]], []],
  [
    'one never does',
    [
      [own, 0],
      ['pod-a-1-0a1b', undefined],
    ],
    ['pod-a-1-0a1b'],
  ],
  [
    'one is cut off',
    [
      [own, 0],
      ['pod-a-1-0a1b', undefined, 400],
    ],
    ['pod-a-1-0a1b'],
  ],
  [
    'two are',
    [
      [own, undefined, 5],
      ['pod-a-1-0a1b', undefined, 400],
    ],
    [own, 'pod-a-1-0a1b'],
  ],
  [
    'one of this machine was killed',
    [
      [own, 0],
      [gone, undefined, 40],
    ],
    [],
  ],
  ['a process id of another machine proves nothing', [[gone.replace(hostname(), 'pod-a'), undefined]], ['pod-a-']],
  ['an id of another form', [['camping', undefined]], ['camping']],
];

for (const [name, servers, waitsFor] of cases)
  t.test(name, async (t) => {
    const clock = openVirtualClock();
    const replicas = async () =>
      servers.map(([id, readsAt, silentSeconds = 1]) => {
        const hasRead = readsAt !== undefined && clock.elapsed() >= readsAt * 1000;
        return { id, silentSeconds, rotationRun: hasRead ? 'this run' : 'an earlier one' };
      });
    const outcome = readByEveryReplica('this run', { replicas, clock }).then(
      () => '',
      (error: Error) => error.message,
    );
    await clock.advance(60_000);
    const message = await outcome;
    if (waitsFor.length === 0) return t.equal(message, '');
    t.match(message, /^Nothing was changed, .*--ignore-silent/);
    for (const id of waitsFor) t.ok(message.includes(id), id);
    return undefined;
  });
