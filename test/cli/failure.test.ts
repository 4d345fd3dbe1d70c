/** For any thrown value, the report is one line without the message of a library, and the exit code is right. */

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { KMSClient, ListKeysCommand, NotFoundException } from '@aws-sdk/client-kms';
import { SecretClient } from '@azure/keyvault-secrets';
import { CommanderError } from 'commander';
import { Redis, ReplyError } from 'ioredis';
import ky from 'ky';
import { Client, DatabaseError } from 'pg';
import t from 'tap';
import { z } from 'zod';
import { failureOf } from '../../src/cli/failure.ts';
import { WebdistError } from '../../src/errors.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { listen } from '../harness/port.ts';
import { runWebdist } from '../harness/process.ts';
import { until } from '../harness/until.ts';

/** A secret in every message, member and stack below. */
const SECRET = 'hunter2';

const thrownBy = async (work: () => unknown): Promise<unknown> => {
  try {
    await work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
};

const redis = async (url: string) => {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  client.on('error', () => undefined);
  await client.connect();
};

const withMembers = (error: object, members: object) => Object.assign(error, members);
const request = { headers: { authorization: `Bearer ${SECRET}` }, url: `https://u:${SECRET}@example.com/` };

const revoked = () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
};
const hostile = (name: string) =>
  Object.defineProperty(new Error(SECRET), name, {
    get() {
      throw new Error(SECRET);
    },
  });
const cyclic = () => {
  const error = new Error(SECRET);
  error.cause = error;
  return error;
};

t.test('foreign errors', async (t) => {
  const server = createServer((_, response) => response.writeHead(401).end(SECRET));
  const url = `http://127.0.0.1:${await listen(server)}/`;
  t.teardown(() => server.close());
  const kms = new KMSClient({
    region: 'eu-west-1',
    endpoint: 'http://127.0.0.1:1',
    credentials: { accessKeyId: SECRET, secretAccessKey: SECRET },
    maxAttempts: 1,
  });
  const credential = { getToken: async () => ({ token: SECRET, expiresOnTimestamp: Date.now() + 1e6 }) };
  const vault = new SecretClient('https://127.0.0.1:1', credential, { retryOptions: { maxRetries: 0 } });

  const cases: readonly (readonly [library: string, error: unknown, line: RegExp])[] = [
    ['ioredis', await thrownBy(() => redis(`redis://u:${SECRET}@127.0.0.1:1`)), /Error/],
    [
      'ioredis, a reply',
      withMembers(new ReplyError(`WRONGPASS ${SECRET}`), { command: { args: [SECRET] } }),
      /ReplyError/,
    ],
    [
      'pg',
      await thrownBy(() => new Client(`postgres://u:${SECRET}@127.0.0.1:1/db`).connect()),
      /Error \(ECONNREFUSED, connect\)/,
    ],
    [
      'pg, a refusal',
      withMembers(new DatabaseError(`no role "${SECRET}"`, 9, 'error'), { code: '28P01', detail: SECRET }),
      /\(28P01\)/,
    ],
    ['AWS', await thrownBy(() => kms.send(new ListKeysCommand({}))), /\(ECONNREFUSED/],
    [
      'AWS, a refusal',
      withMembers(new NotFoundException({ message: SECRET, $metadata: { httpStatusCode: 400 } } as never), {
        $response: { headers: { authorization: SECRET } },
      }),
      /NotFoundException \(status 400\)/,
    ],
    ['Azure', await thrownBy(() => vault.getSecret('a')), /RestError \(ECONNREFUSED\)/],
    [
      'Azure, a refusal',
      withMembers(new Error(SECRET), { name: 'RestError', statusCode: 403, request }),
      /RestError \(status 403\)/,
    ],
    [
      'Google',
      withMembers(new Error(`7 PERMISSION_DENIED: ${SECRET}`), { code: 7, details: SECRET }),
      /internal error: Error$/,
    ],
    ['ky', await thrownBy(() => ky(url, { retry: 0, headers: request.headers })), /HTTPError \(status 401\)/],
    [
      'fetch',
      await thrownBy(() => fetch('http://127.0.0.1:2')),
      /TypeError, caused by Error \(ECONNREFUSED, connect\)/,
    ],
    ['fetch, a URL with a password', await thrownBy(() => fetch(`http://u:${SECRET}@127.0.0.1/`)), /TypeError/],
    ['zod', await thrownBy(() => z.strictObject({}).parse({ [SECRET]: SECRET })), /ZodError/],
    ['JSON', await thrownBy(() => JSON.parse(SECRET)), /SyntaxError/],
    ['URL', await thrownBy(() => new URL(`//${SECRET}`)), /TypeError \(ERR_INVALID_URL\)/],
    ['fs', await thrownBy(() => readFileSync(`/${SECRET}`)), /Error \(ENOENT, open\)/],
    ['AggregateError', new AggregateError([new Error(SECRET), SECRET], SECRET), /AggregateError, caused by Error$/],
    [
      'a chain',
      new Error(SECRET, { cause: new TypeError(SECRET, { cause: SECRET }) }),
      /Error, caused by TypeError, caused by a thrown string/,
    ],
    ['a cycle', cyclic(), /Error, caused by Error/],
    [
      'our error as a cause',
      new Error(SECRET, { cause: new WebdistError('key_absent', SECRET) }),
      /WebdistError \(key_absent\)$/,
    ],
    ['a string', SECRET, /a thrown string$/],
    ['an object', { message: SECRET, code: SECRET, name: SECRET, toString: () => SECRET }, /Object$/],
    ['an object without prototype', Object.assign(Object.create(null), { message: SECRET }), /unnamed error$/],
    ['undefined', undefined, /a thrown undefined$/],
    ['null', null, /a thrown null$/],
    ['a symbol', Symbol(SECRET), /a thrown symbol$/],
    ['a function', () => SECRET, /Function$/],
    ['an array', [SECRET], /Array$/],
    ['a revoked proxy', revoked(), /unnamed error$/],
    ['a name that is text', withMembers(new Error(SECRET), { name: `x ${SECRET}` }), /Error$/],
    [
      'a code that is text',
      withMembers(new Error(SECRET), { code: `${SECRET} ${SECRET}`, syscall: `${SECRET}\n` }),
      /Error$/,
    ],
    [
      'a stack that is text',
      withMembers(new Error(SECRET), { stack: `${SECRET}\n    at ${SECRET} ${SECRET}` }),
      /Error$/,
    ],
    ...['toString', 'message', 'name', 'code', 'stack', 'cause', 'status'].map(
      (name) => [`${name} throws`, hostile(name), /Error$/] as const,
    ),
  ];
  for (const [library, error, line] of cases) {
    const failure = failureOf(error);
    t.match(failure.line, line, library);
    t.match(failure.line, /^internal error: [\x20-\x7e]{1,300}$/, `${library}: one line`);
    t.equal(failure.exitCode, 1, library);
    t.notMatch(JSON.stringify(failure).toLowerCase(), SECRET, `${library}: no secret`);
  }
  const { frames } = failureOf(new Error(`${SECRET}\n    at the start`));
  t.ok(frames.length > 0 && frames.every((frame) => /^ {4}at .*:\d+:\d+\)?$/.test(frame)), frames.join('\n'));
});

t.test('errors of webdist and of commander', async (t) => {
  const cause = new Error(SECRET);
  t.strictSame(failureOf(new WebdistError('key_absent', 'No key.', { hint: 'Make one.', cause })), {
    line: 'No key. Make one.',
    exitCode: 1,
    frames: [],
  });
  t.match(failureOf(new WebdistError('usage_invalid', 'No.')), { line: 'No.', exitCode: 2 });
  t.match(failureOf(new CommanderError(1, 'commander.unknownOption', 'no')), { line: undefined, exitCode: 2 });
  t.match(failureOf(new CommanderError(0, 'commander.version', '1')), { line: undefined, exitCode: 0 });
});

t.test('a process reports an uncaught error in one line', async (t) => {
  const throws = {
    exception: `throw Object.assign(new TypeError('${SECRET}'), { request: '${SECRET}' })`,
    rejection: `void Promise.reject(Object.assign(new TypeError('${SECRET}'), { response: '${SECRET}' }))`,
    string: `throw '${SECRET}'`,
  };
  for (const [kind, statement] of Object.entries(throws))
    for (const level of ['info', 'debug']) {
      const script = `process.on('SIGUSR2', () => { ${statement} })`;
      const sandbox = runWebdist(t, ['sandbox', '--port', '0'], {
        NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(script)}`,
        LOG_LEVEL: level,
        WEBDIST_DATA_DIR: temporaryFolder(t),
      });
      await until(() => sandbox.output().includes('listens on'), sandbox.output);
      const before = sandbox.output();
      sandbox.child.kill('SIGUSR2');
      t.equal(await sandbox.exited, 1, kind);
      const [line, ...frames] = sandbox.output().slice(before.length).trimEnd().split('\n');
      t.match(
        line,
        kind === 'string' ? /^webdist: internal error: a thrown string$/ : /^webdist: internal error: TypeError/,
      );
      t.equal(
        frames.length > 0,
        level === 'debug' && kind !== 'string',
        `${kind}: the stack only with LOG_LEVEL=debug`,
      );
      t.ok(frames.every((frame) => /^ {4}at /.test(frame)));
      t.notMatch(`${line}${frames.join('')}`, SECRET);
    }
});
