/** The faults of webdist's dependencies: how a container test causes and ends each of them. */

import { docker, type Part, type Stage } from '../harness/containers.ts';

/** What webdist loses during a fault, as visitors and health see it. */
export type Loses = 'nothing' | 'ledger' | 'redis';

/** The values of `WEBDIST_LEDGER_DOWN`. */
export const MODES = ['issue', 'refuse'] as const;
export type Mode = (typeof MODES)[number];

/** The usual response, in the form of load.ts. */
export const USUAL = '200 download';
/** When the ledger does not answer in time. */
const NO_LEDGER: Readonly<Record<Mode, string>> = { issue: '200 redownload', refuse: '503 ledger_unavailable' };
/** The response that visitors get while something is lost. */
export const expected = (loses: Loses, mode: Mode) => (loses === 'ledger' ? NO_LEDGER[mode] : USUAL);
/** All documented responses; a busy machine may cause each of them without any fault. */
export const mayBeSeen = (mode: Mode): readonly string[] => [USUAL, NO_LEDGER[mode], '503 overloaded'];

export type Fault = {
  readonly dependency: 'App Store Connect' | 'PostgreSQL' | 'Redis' | 'SQLite';
  /** As in docs/faults.md. */
  readonly what: string;
  readonly loses: Loses;
  /** What health reports as degraded within seconds, if anything. */
  readonly degrades?: 'registration' | 'ledger' | 'redis' | undefined;
  /** The replicas that are affected. */
  readonly replicas: 'direct' | 'through the relay' | 'with SQLite';
  /** How many seconds it lasts when the table is written. */
  readonly seconds: number;
  begin(): Promise<unknown>;
  end(): Promise<unknown>;
};

/** How long the relay delays every response. */
const SLOW_MS = 1000;

const MINUTE = 60;
const A_WHILE = 20;

type Parts = {
  readonly stage: Stage;
  readonly relay: Part;
  /** Replicas with their ledger in a file on a small disk at `/data`. */
  readonly withSqlite: readonly Part[];
};

/** All faults, in the order of the table. */
export function allFaults({ stage, relay, withSqlite }: Parts): readonly Fault[] {
  const { sandbox, postgres, redis } = stage;
  const dependencies = [
    { dependency: 'App Store Connect', part: sandbox, port: 8090, loses: 'nothing' },
    { dependency: 'PostgreSQL', part: postgres, port: 5432, loses: 'ledger' },
    { dependency: 'Redis', part: redis, port: 6379, loses: 'redis' },
  ] as const;
  const own = { 'App Store Connect': failing(sandbox), PostgreSQL: postgresFull(postgres), Redis: redisFull(redis) };
  return [
    ...dependencies.flatMap(({ dependency, part, port, loses }): Fault[] => {
      const degrades = loses === 'nothing' ? undefined : loses;
      const direct = { dependency, loses, degrades, replicas: 'direct', seconds: A_WHILE } as const;
      // A check at Apple without an answer takes half a minute before health reports it.
      const refused = { ...direct, degrades: degrades ?? 'registration' } as const;
      return [
        { ...refused, what: 'killed', begin: () => docker('kill', part.id), end: () => docker('start', part.id) },
        {
          ...direct,
          what: 'paused',
          seconds: MINUTE,
          begin: () => docker('pause', part.id),
          end: () => docker('unpause', part.id),
        },
        {
          ...direct,
          what: 'cut off from the network',
          begin: () => docker('network', 'disconnect', stage.network, part.id),
          end: () => docker('network', 'connect', '--alias', part.name, stage.network, part.id),
        },
        {
          ...direct,
          replicas: 'through the relay',
          what: `${SLOW_MS / 1000} s slower`,
          begin: () => makeLate(relay, port, SLOW_MS),
          end: () => makeLate(relay, port, 0),
        },
        { ...refused, ...own[dependency] },
      ];
    }),
    {
      dependency: 'SQLite',
      ...LOSES_NO_TOKEN,
      replicas: 'with SQLite',
      what: 'disk full',
      seconds: A_WHILE,
      begin: () => Promise.all(withSqlite.map((replica) => runNode(replica, FILL_DATA))),
      end: () => Promise.all(withSqlite.map((replica) => runNode(replica, EMPTY_DATA))),
    },
  ];
}

/** A ledger without space still answers lookups: tokens are issued, and only evidence is refused. */
const LOSES_NO_TOKEN = { loses: 'nothing', degrades: undefined } as const;

type Own = Pick<Fault, 'what' | 'begin' | 'end'> & Partial<typeof LOSES_NO_TOKEN>;

const runNode = (part: Part, script: string, ...args: string[]) =>
  docker('exec', part.id, 'node', '-e', script, ...args);

const makeLate = (relay: Part, port: number, ms: number) =>
  runNode(relay, 'fetch("http://127.0.0.1:9000/" + process.argv[1])', `${port}/${ms}`);

/** We cannot fill Apple's disk; instead, its API answers 500. */
function failing(sandbox: Part): Own {
  const ask = (init: object) =>
    runNode(sandbox, `fetch('http://127.0.0.1:8090/_sandbox/faults', ${JSON.stringify(init)})`);
  const json = { 'content-type': 'application/json' };
  return {
    what: 'answers 500',
    begin: () => ask({ method: 'POST', headers: json, body: JSON.stringify({ path: '/v1/', status: 500 }) }),
    end: () => ask({ method: 'DELETE' }),
  };
}

const fill = (part: Part, folder: string) =>
  docker('exec', '-u', 'root', part.id, 'sh', '-c', `cat /dev/zero > ${folder}/full 2>/dev/null || sync`);
const empty = (part: Part, folder: string) => docker('exec', '-u', 'root', part.id, 'rm', `${folder}/full`);

/** A new segment of the write-ahead log has enough space for the whole test; only the tables cannot grow. */
function postgresFull(postgres: Part): Own {
  const folder = '/var/lib/postgresql/data';
  const psql = (text: string) => docker('exec', postgres.id, 'psql', '-U', 'test', '-d', 'test', '-c', text);
  return {
    ...LOSES_NO_TOKEN,
    what: 'disk full',
    begin: async () => {
      await psql('SELECT pg_switch_wal()');
      await psql('CHECKPOINT');
      await fill(postgres, folder);
    },
    end: () => empty(postgres, folder),
  };
}

/** Redis refuses writes once it failed to save to disk (`stop-writes-on-bgsave-error`, on by default). */
function redisFull(redis: Part): Own {
  const save = (when: string) => docker('exec', redis.id, 'redis-cli', 'CONFIG', 'SET', 'save', when);
  return {
    what: 'disk full',
    begin: async () => {
      await fill(redis, '/data');
      await save('1 1');
    },
    end: () => empty(redis, '/data'),
  };
}

const FILL_DATA = `
  const file = fs.openSync('/data/full', 'w');
  try { for (;;) fs.writeSync(file, Buffer.alloc(4096)); } catch (error) { if (error.code !== 'ENOSPC') throw error; }`;
const EMPTY_DATA = `fs.rmSync('/data/full')`;
