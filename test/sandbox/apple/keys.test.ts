/** Alternative distribution keys of the simulated account. */

import { generateKeyPairSync } from 'node:crypto';
import t from 'tap';
import { readPublicKey, spki } from '../../../src/jws.ts';
import { APP, APP_KEY, addKey, call, KEYS, keyEntity, newKey, outcome, pemOf } from '../../harness/apple-client.ts';
import { startSandbox } from '../../harness/sandbox.ts';

const LINKAGE = `/v1/apps/${APP}/relationships/alternativeDistributionKey`;

t.test('add a key, read it in every way, remove it', async (t) => {
  const sandbox = await startSandbox(t);
  const { publicKey } = newKey();
  const added = await call(sandbox, 'POST', KEYS, keyEntity(pemOf(publicKey), APP));
  t.equal(added.status, 201);
  const { id } = added.body.data;
  t.match(id, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  const self = `${sandbox.baseUrl}${KEYS}/${id}`;
  t.equal(added.headers.get('location'), self);
  t.match(added.body, { data: { type: 'alternativeDistributionKeys', links: { self } }, links: { self } });
  for (const path of [`${KEYS}/${id}`, APP_KEY]) {
    const { status, body } = await call(sandbox, 'GET', `${path}?fields[alternativeDistributionKeys]=publicKey`);
    t.strictSame([status, body.data.id], [200, id]);
    t.equal(spki(readPublicKey(body.data.attributes['publicKey'] ?? '')), spki(publicKey));
  }
  const linkage = await call(sandbox, 'GET', LINKAGE);
  t.strictSame(linkage.body.data, { type: 'alternativeDistributionKeys', id });
  t.equal(linkage.body.links.self, sandbox.baseUrl + LINKAGE);

  const removed = await call(sandbox, 'DELETE', `${KEYS}/${id}`);
  t.strictSame([removed.status, removed.text], [204, '']);
  for (const [method, path] of [
    ['DELETE', `${KEYS}/${id}`],
    ['GET', `${KEYS}/${id}`],
    ['GET', APP_KEY],
    ['GET', LINKAGE],
  ] as const)
    t.equal(outcome(await call(sandbox, method, path)), '404 NOT_FOUND', `${method} ${path}`);
});

t.test('a key for all apps is not the key of the app', async (t) => {
  const sandbox = await startSandbox(t);
  const { id: own } = await addKey(sandbox);
  const { body } = await call(sandbox, 'POST', KEYS, keyEntity(pemOf(newKey().publicKey)));
  const list = async (query: string) => (await call(sandbox, 'GET', `${KEYS}${query}`)).body.data.map(({ id }) => id);
  t.strictSame(await list(''), [own, body.data.id]);
  t.strictSame(await list('?exists[app]=true'), [own]);
  t.strictSame(await list('?exists[app]=false'), [body.data.id]);
  await call(sandbox, 'DELETE', `${KEYS}/${own}`);
  t.equal(outcome(await call(sandbox, 'GET', APP_KEY)), '404 NOT_FOUND');
});

t.test('answers cycle through all spellings of a PEM', async (t) => {
  const sandbox = await startSandbox(t);
  const { id } = await addKey(sandbox);
  const spellings = new Set<string>();
  for (let n = 0; n < 4; n++)
    spellings.add((await call(sandbox, 'GET', `${KEYS}/${id}`)).body.data.attributes['publicKey'] ?? '');
  t.equal(spellings.size, 4);
  const breaks = [...spellings].map((pem) => pem.split('\n').length - 1).sort();
  t.strictSame(breaks, [0, 3, 3, 4], 'none; one long line; 64 columns without and with the last');
});

t.test('accepted spellings', async (t) => {
  const sandbox = await startSandbox(t);
  const spell: [string, (pem: string) => string][] = [
    ['no line breaks', (pem) => pem.replaceAll('\n', '')],
    ['no last line break', (pem) => pem.trimEnd()],
    ['one long line', (pem) => pem.replaceAll(/(?<!-)\n(?!-)/g, '')],
    ['CRLF', (pem) => pem.replaceAll('\n', '\r\n')],
  ];
  for (const [name, respell] of spell)
    t.equal(outcome(await call(sandbox, 'POST', KEYS, keyEntity(respell(pemOf(newKey().publicKey))))), '201', name);
  const { data } = keyEntity(pemOf(newKey().publicKey), APP);
  t.equal(outcome(await call(sandbox, 'POST', KEYS, { data: { ...data, id: null } })), '201', '"id": null');
});

t.test('refused keys', async (t) => {
  const sandbox = await startSandbox(t);
  const { publicKey, privateKey } = newKey();
  const pem = pemOf(publicKey);
  await addKey(sandbox, publicKey);
  const { data } = keyEntity(pem);
  const invalid = '409 ENTITY_ERROR.ATTRIBUTE.INVALID';
  const unprocessable = '422 ENTITY_UNPROCESSABLE';
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' }).publicKey;
  const refused: [name: string, body: unknown, outcome: string, pointer?: string][] = [
    ['not a PEM', keyEntity('hello'), invalid, '/data/attributes/publicKey'],
    ['a broken PEM', keyEntity(pem.replace('MFkw', 'MFkx')), invalid],
    ['a private key', keyEntity(privateKey.export({ format: 'pem', type: 'pkcs8' })), invalid],
    ['a private key as SEC1', keyEntity(privateKey.export({ format: 'pem', type: 'sec1' })), invalid],
    ['P-384', keyEntity(pemOf(p384)), invalid],
    ['RSA', keyEntity(pemOf(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey)), invalid],
    ['the same key', keyEntity(pem, APP), `${invalid}.DUPLICATE`, '/data/attributes/publicKey'],
    ['the same, account-wide and respelt', keyEntity(pem.replaceAll('\n', '')), `${invalid}.DUPLICATE`],
    ['a second for the app', keyEntity(pemOf(newKey().publicKey), APP), '409 ENTITY_ERROR.RELATIONSHIP.INVALID'],
    [
      'an unknown app',
      keyEntity(pemOf(newKey().publicKey), '1'),
      '409 ENTITY_ERROR.RELATIONSHIP.INVALID',
      '/data/relationships/app',
    ],
    ['no JSON', '{"data":', '400 ENTITY_INVALID'],
    ['an empty body', '', '400 ENTITY_INVALID'],
    ['another shape', '[]', unprocessable],
    ['misspelt data', { date: data }, unprocessable],
    ['another type', { data: { ...data, type: 'keys' } }, unprocessable, '/data/type'],
    ['no attributes', { data: { type: data.type } }, unprocessable],
    ['misspelt attribute', { data: { ...data, attributes: { publickey: pem } } }, unprocessable],
    ['a number as key', keyEntity(5), unprocessable],
    ['an id', { data: { ...data, id: 'mine' } }, unprocessable],
    ['a misspelt relationship', { data: { ...data, relationships: { apps: {} } } }, unprocessable],
  ];
  for (const [name, body, expected, pointer] of refused) {
    const answer = await call(sandbox, 'POST', KEYS, body);
    t.equal(outcome(answer), expected, name);
    if (pointer) t.match(answer.body.errors[0], { source: { pointer } }, name);
  }
  t.equal((await call(sandbox, 'GET', KEYS)).body.meta.paging.total, 1);
});

t.test('of ten identical concurrent requests, one succeeds', async (t) => {
  const sandbox = await startSandbox(t);
  const body = keyEntity(pemOf(newKey().publicKey), APP);
  const outcomes = await Promise.all(Array.from({ length: 10 }, () => call(sandbox, 'POST', KEYS, body)));
  t.strictSame(outcomes.map(outcome).sort(), [
    '201',
    ...Array.from({ length: 9 }, () => '409 ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE'),
  ]);
  t.equal((await call(sandbox, 'GET', KEYS)).body.meta.paging.total, 1);
});
