/** Everything that can happen to what webdist depends on: how a container test brings it about and takes it away again. */

import { docker, type Part, type Stage } from '../harness/containers.ts';

/** What a fault takes from webdist; visitors see it, health says it. */
export type Loses = 'nothing' | 'ledger' | 'redis';

/** What `WEBDIST_LEDGER_DOWN` may be. */
export const MODES = ['issue', 'refuse'] as const;
export type Mode = (typeof MODES)[number];

/** What visitors see, as load.ts says it, when all is well. */
export const USUAL = '200 download';
/** Without the ledger in time. */
const NO_LEDGER: Readonly<Record<Mode, string>> = { issue: '200 redownload', refuse: '503 ledger_unavailable' };
/** What visitors see while something is lost. */
export const expected = (loses: Loses, mode: Mode) => (loses === 'ledger' ? NO_LEDGER[mode] : USUAL);
/** All that is documented: also without any fault, on a machine that is too busy to answer in time. */
export const mayBeSeen = (mode: Mode): readonly string[] => [USUAL, NO_LEDGER[mode], '503 overloaded'];

export type Fault = {
  readonly dependency: 'App Store Connect' | 'PostgreSQL' | 'Redis' | 'SQLite';
  /** In the words of docs/faults.md. */
  readonly what: string;
  readonly loses: Loses;
  /** What health calls degraded within seconds, if anything. */
  readonly degrades?: 'registration' | 'ledger' | 'redis' | undefined;
  /** Replicas that meet it. */
  readonly replicas: 'direct' | 'through the relay' | 'with SQLite';
  /** Seconds it lasts when the table is written. */
  readonly seconds: number;
  begin(): Promise<unknown>;
  end(): Promise<unknown>;
};

/** How late the relay makes every answer. */
const SLOW_MS = 1000;

const MINUTE = 60;
const A_WHILE = 20;

type Parts = {
  readonly stage: Stage;
  readonly relay: Part;
  /** Replicas whose ledger is a file on a small disk at `/data`. */
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
      // A look at Apple that gets no answer goes on for half a minute before health calls it one.
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

/** A ledger without room still answers lookups: tokens go on, and only evidence is refused. */
const LOSES_NO_TOKEN = { loses: 'nothing', degrades: undefined } as const;

type Own = Pick<Fault, 'what' | 'begin' | 'end'> & Partial<typeof LOSES_NO_TOKEN>;

const runNode = (part: Part, script: string, ...args: string[]) =>
  docker('exec', part.id, 'node', '-e', script, ...args);

const makeLate = (relay: Part, port: number, ms: number) =>
  runNode(relay, 'fetch("http://127.0.0.1:9000/" + process.argv[1])', `${port}/${ms}`);

/** Apple's disk is Apple's: what its servers answer when they are in trouble stands for it. */
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

/** A new segment of the write-ahead log has room for the whole test: what is full is the place of the tables. */
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

/** Redis takes no more writes once it could not save to disk (`stop-writes-on-bgsave-error`, on by default). */
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
