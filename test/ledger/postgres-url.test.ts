/** URLs of PostgreSQL are read as libpq reads them. */

import t from 'tap';
import { parsePostgresUrl, postgresUrlProblem } from '../../src/ledger/postgres-url.ts';

/** Each host with the ways to connect: `tls` verifies everything, `ca` all but the name, `any` nothing; `plain` is without TLS. */
const hostsOf = (url: string) =>
  parsePostgresUrl(url).hosts.map(({ host, port, ways }) => {
    const names = ways.map((way) =>
      way === false ? 'plain' : way.rejectUnauthorized === false ? 'any' : way.checkServerIdentity ? 'ca' : 'tls',
    );
    return `${host} ${port} ${names.join(' ')}`;
  });

const root = import.meta.filename;

const hosts: Readonly<Record<string, readonly string[]>> = {
  'postgres://db/x': ['db 5432 any plain'],
  'postgres:///x': ['localhost 5432 any plain'],
  'postgresql://db:6432/x?sslmode=disable': ['db 6432 plain'],
  'postgres://a:1,b,[::1]:3/x?sslmode=verify-full': ['a 1 tls', 'b 5432 tls', '::1 3 tls'],
  'postgres:///x?host=a,b&port=1,2&sslmode=require': ['a 1 any', 'b 2 any'],
  'postgres://%2Frun%2Fpostgresql/x?sslmode=verify-full': ['/run/postgresql 5432 plain'],
  'postgres:///x?host=/run/postgresql': ['/run/postgresql 5432 plain'],
  'postgres://db/x?sslmode=allow': ['db 5432 plain any'],
  'postgres://db/x?sslmode=verify-ca': ['db 5432 ca'],
  [`postgres://db/x?sslmode=require&sslrootcert=${root}`]: ['db 5432 ca'],
  'postgres://db/x?sslrootcert=system': ['db 5432 tls'],
};

t.test('hosts and TLS', async (t) => {
  for (const [url, expected] of Object.entries(hosts)) t.strictSame(hostsOf(url), expected, url);
});

t.test('login, database and options', async (t) => {
  t.match(
    parsePostgresUrl('postgres://shop:p%40ss%3Aw%2Fr+d@db/my%20db?options=-c%20search_path%3Dw&application_name=w'),
    {
      user: 'shop',
      password: 'p@ss:w/r+d',
      database: 'my db',
      options: '-c search_path=w',
      applicationName: 'w',
      target: 'any',
    },
  );
  t.match(parsePostgresUrl('postgres://db?user=u&password=a+b&dbname=d&target_session_attrs=read-write'), {
    user: 'u',
    password: 'a+b',
    database: 'd',
    target: 'read-write',
  });
});

t.test('what is wrong is reported without a value', async (t) => {
  const wrong: Readonly<Record<string, RegExp>> = {
    'postgres://db/x?sslmode=hunter2': /^sslmode: expected one of disable, /,
    'postgres://db/x?target_session_attrs=hunter2': /^target_session_attrs: expected one of any, /,
    'postgres://db/x?hunter2=1': /^the URL has an option that webdist does not know/,
  };
  for (const [url, message] of Object.entries(wrong)) {
    t.match(postgresUrlProblem(url), message);
    t.notMatch(postgresUrlProblem(url), /hunter2/);
  }
  for (const url of Object.keys(hosts)) t.equal(postgresUrlProblem(url), undefined, url);
  t.throws(() => parsePostgresUrl('postgres://db/x?sslmode=verify-ca&sslrootcert=/none.pem'), {
    code: 'config_invalid',
    message: /^sslrootcert: .*ENOENT/,
  });
});
