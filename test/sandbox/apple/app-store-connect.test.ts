/** Rules for every path of the simulated App Store Connect: the order of refusals, headers, error bodies. */

import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { openSandbox } from '../../../src/sandbox/sandbox.ts';
import {
  APP,
  APP_KEY,
  apiToken,
  type Body,
  call,
  DOMAINS,
  domainEntity,
  KEYS,
  outcome,
} from '../../harness/apple-client.ts';
import { startSandbox } from '../../harness/sandbox.ts';

t.test('401 comes before everything, then path, method, Accept, Content-Type, query, body', async (t) => {
  const sandbox = await startSandbox(t);
  const nobody = { authorization: '' };
  const text = { accept: 'text/html', 'content-type': 'text/plain' };
  t.equal(outcome(await call(sandbox, 'PATCH', '/v2/nothing?x=1', 'x', { ...text, ...nobody })), '401 NOT_AUTHORIZED');
  t.equal(outcome(await call(sandbox, 'PATCH', '/v2/nothing?x=1', 'x', text)), '404 PATH_ERROR');
  t.equal(outcome(await call(sandbox, 'PATCH', `${KEYS}?x=1`, 'x', text)), '405 METHOD_NOT_ALLOWED');
  const unacceptable = await call(sandbox, 'POST', `${KEYS}?x=1`, 'x', text);
  t.equal(unacceptable.status, 406);
  t.match(unacceptable.headers.get('content-type'), /^text\/plain/);
  t.notMatch(unacceptable.text, '{');
  const plain = { 'content-type': 'text/plain' };
  t.equal(outcome(await call(sandbox, 'POST', `${KEYS}?x=1`, 'x', plain)), '415 UNSUPPORTED_MEDIA_TYPE');
  t.equal(outcome(await call(sandbox, 'POST', `${KEYS}?x=1`, 'x')), '400 PARAMETER_ERROR.ILLEGAL');
  t.equal(outcome(await call(sandbox, 'POST', KEYS, 'x')), '400 ENTITY_INVALID');
  t.equal(outcome(await call(sandbox, 'POST', KEYS, {})), '422 ENTITY_UNPROCESSABLE');
});

t.test('unknown paths and methods', async (t) => {
  const sandbox = await startSandbox(t);
  for (const path of [
    '/',
    '/v1',
    '/v1/apps/',
    '/v1/distributionKeys',
    '/v1/%zz',
    `${APP_KEY}s`,
    '/v1/marketplaceDomains',
  ])
    t.equal(outcome(await call(sandbox, 'GET', path)), '404 PATH_ERROR', path);
  const methods: [string, string][] = [
    ['POST', '/v1/apps'],
    ['DELETE', APP_KEY],
    ['PATCH', `${KEYS}/x`],
    ['PUT', DOMAINS],
    ['OPTIONS', DOMAINS],
  ];
  for (const [method, path] of methods)
    t.equal(outcome(await call(sandbox, method, path)), '405 METHOD_NOT_ALLOWED', `${method} ${path}`);
  t.equal((await call(sandbox, 'HEAD', '/v1/apps')).status, 405);
});

t.test('Accept and Content-Type', async (t) => {
  const sandbox = await startSandbox(t);
  for (const accept of ['application/json', '*/*', 'text/html, application/*;q=0.1', 'Application/JSON; charset=utf-8'])
    t.equal((await call(sandbox, 'GET', '/v1/apps', undefined, { accept })).status, 200, accept);
  for (const accept of ['text/html', 'application/xml', 'application/json;q=0'])
    t.equal((await call(sandbox, 'GET', '/v1/apps', undefined, { accept })).status, 406, accept);
  for (const [type, status] of [
    ['application/json; charset=utf-8', 201],
    ['nonsense', 415],
    ['application/vnd.api+json', 415],
  ] as const)
    t.equal(
      (await call(sandbox, 'POST', DOMAINS, domainEntity('example.com'), { 'content-type': type })).status,
      status,
      type,
    );
});

t.test('query parameters', async (t) => {
  const sandbox = await startSandbox(t);
  const refused: [path: string, code: string, parameter: string][] = [
    ['/v1/apps?include=alternativeDistributionKey', 'INVALID', 'include'],
    [`${KEYS}?include=app`, 'ILLEGAL', 'include'],
    [`${KEYS}?filter[app]=1`, 'ILLEGAL', 'filter[app]'],
    [`${KEYS}?sort=id`, 'ILLEGAL', 'sort'],
    [`${DOMAINS}?exists[app]=true`, 'ILLEGAL', 'exists[app]'],
    [`${APP_KEY}?limit=1`, 'ILLEGAL', 'limit'],
    [`/v1/apps?toString=1`, 'ILLEGAL', 'toString'],
    ['/v1/apps?limit=0', 'INVALID', 'limit'],
    ['/v1/apps?limit=201', 'INVALID', 'limit'],
    ['/v1/apps?limit=5.0', 'INVALID', 'limit'],
    ['/v1/apps?limit=1&limit=2', 'INVALID', 'limit'],
    ['/v1/apps?sort=price', 'INVALID', 'sort'],
    ['/v1/apps?filter[id]=', 'INVALID', 'filter[id]'],
    ['/v1/apps?fields[apps]=secret', 'INVALID', 'fields[apps]'],
    [`${KEYS}?exists[app]=yes`, 'INVALID', 'exists[app]'],
    [`${KEYS}?cursor=nonsense`, 'INVALID', 'cursor'],
  ];
  for (const [path, code, parameter] of refused) {
    const answer = await call(sandbox, 'GET', path);
    t.equal(outcome(answer), `400 PARAMETER_ERROR.${code}`, path);
    t.match(answer.body.errors[0], { source: { parameter } }, path);
  }
  t.equal((await call(sandbox, 'GET', '/v1/apps?limit=200')).body.meta.paging.limit, 200);
});

t.test('Date and X-Rate-Limit on every answer, error bodies as in Apple’s documentation', async (t) => {
  const now = Date.UTC(2026, 9, 1, 12, 0, 0);
  const sandbox = await startSandbox(t, { now: () => now });
  for (const headers of [{}, { authorization: `Bearer ${apiToken(sandbox, {}, now)}` }]) {
    const answer = await call(sandbox, 'GET', '/v1/nothing', undefined, headers);
    t.equal(answer.headers.get('date'), 'Thu, 01 Oct 2026 12:00:00 GMT');
    t.match(answer.headers.get('x-rate-limit'), /^user-hour-lim:3500;user-hour-rem:\d+;$/);
    const { status } = answer;
    t.match(answer.body.errors, [{ id: /^[0-9a-f-]{36}$/, status: String(status), title: /./, detail: /./ }]);
  }
});

t.test('an oversized body and an aborted request do not affect other requests', async (t) => {
  const sandbox = await startSandbox(t);
  const large = JSON.stringify(domainEntity('example.com', 'x'.repeat(2 * 1024 * 1024)));
  t.equal(outcome(await call(sandbox, 'POST', DOMAINS, large)), '400 ENTITY_INVALID');
  const { port } = new URL(sandbox.baseUrl);
  const socket = connect(Number(port), '127.0.0.1');
  socket.write(`POST ${DOMAINS} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{`);
  socket.end();
  t.notMatch(await text(socket), '200 OK');
  t.equal((await call(sandbox, 'GET', '/v1/apps')).status, 200);
});

t.test('apps', async (t) => {
  const sandbox = await startSandbox(t);
  const find = async (query: string) => (await call(sandbox, 'GET', `/v1/apps${query}`)).body;
  const { data, meta, links } = await find('?filter[bundleId]=com.example.other,com.example.trailmap&limit=200');
  const self = `${sandbox.baseUrl}/v1/apps/${APP}`;
  t.match(data, [
    {
      type: 'apps',
      id: APP,
      attributes: {
        bundleId: 'com.example.trailmap',
        name: 'Trail Map',
        primaryLocale: 'en-US',
        sku: 'TRAILMAP',
        isOrEverWasMadeForKids: false,
        contentRightsDeclaration: 'DOES_NOT_USE_THIRD_PARTY_CONTENT',
        streamlinedPurchasingEnabled: true,
        subscriptionStatusUrl: null,
      },
      relationships: Object.fromEntries(
        ['alternativeDistributionKey', 'appStoreVersions', 'builds', 'ciProduct', 'betaTesters'].map((name) => [
          name,
          { links: { self: `${self}/relationships/${name}`, related: `${self}/${name}` } },
        ]),
      ),
      links: { self },
    },
  ]);
  t.strictSame(meta, { paging: { total: 1, limit: 200 } });
  t.notOk(links.next);
  for (const query of [
    '?filter[bundleId]=com.example.Trailmap',
    `?filter[id]=${APP}&filter[name]=Other`,
    '?filter[sku]=x',
  ])
    t.strictSame((await find(query)).data, [], query);
  const few = await find(`?filter[id]=${APP}&filter[name]=Trail Map&fields[apps]=name&sort=-name,sku`);
  t.strictSame(few.data[0]?.attributes, { name: 'Trail Map' });

  t.equal((await call(sandbox, 'GET', `/v1/apps/${APP}`)).body.data.id, APP);
  t.equal(outcome(await call(sandbox, 'GET', '/v1/apps/1')), '404 NOT_FOUND');
  t.equal(outcome(await call(sandbox, 'GET', '/v1/apps/1/alternativeDistributionKey')), '404 NOT_FOUND');
});

t.test('several apps, sorted', async (t) => {
  const dataDir = t.testdir();
  const file = join(dataDir, 'sandbox.json');
  await (await openSandbox({ dataDir })).close();
  const state = JSON.parse(readFileSync(file, 'utf8'));
  const [app] = state.apps;
  state.apps.push({ ...app, id: '2', bundleId: 'a.b' }, { ...app, id: '3', bundleId: 'a.a', name: 'Atlas' });
  writeFileSync(file, JSON.stringify(state));
  const sandbox = await startSandbox(t, { dataDir });
  for (const [query, ids] of [
    ['', [APP, '2', '3']],
    ['?sort=bundleId', ['3', '2', APP]],
    ['?sort=-name,bundleId', ['2', APP, '3']],
    ['?sort=bundleId&limit=1', ['3']],
    [`?filter[id]=3,${APP}`, [APP, '3']],
  ] as const)
    t.strictSame(
      (await call(sandbox, 'GET', `/v1/apps${query}`)).body.data.map(({ id }) => id),
      ids,
      query,
    );
});

t.test('pages: every item once, through links to this server', async (t) => {
  const sandbox = await startSandbox(t);
  const added = [];
  for (let n = 0; n < 7; n++)
    added.push((await call(sandbox, 'POST', DOMAINS, domainEntity(`d${n}.example.com`))).body.data.id);
  const seen: string[] = [];
  let next: string | undefined = `${sandbox.baseUrl}${DOMAINS}?limit=3&fields[alternativeDistributionDomains]=domain`;
  const sizes: number[] = [];
  while (next) {
    t.equal(new URL(next).origin, sandbox.baseUrl);
    const { body }: { body: Body } = await call(sandbox, 'GET', next);
    seen.push(...body.data.map(({ id }) => id));
    sizes.push(body.data.length);
    t.strictSame([body.meta.paging.total, body.meta.paging.limit], [7, 3]);
    t.equal(Boolean(body.links.next), Boolean(body.meta.paging.nextCursor));
    t.ok(body.data.every(({ attributes }) => Object.keys(attributes).join() === 'domain'));
    next = body.links.next;
  }
  t.strictSame(seen, added);
  t.strictSame(sizes, [3, 3, 1]);
  const cursor = (await call(sandbox, 'GET', `${DOMAINS}?limit=3`)).body.meta.paging.nextCursor ?? '';
  const forged = [`${cursor}A`, cursor.slice(0, -2), Buffer.from(`${DOMAINS} 03`).toString('base64url')];
  for (const path of [`/v1/apps?cursor=${cursor}`, ...forged.map((one) => `${DOMAINS}?cursor=${one}`)])
    t.equal(outcome(await call(sandbox, 'GET', path)), '400 PARAMETER_ERROR.INVALID', path);
  t.equal((await call(sandbox, 'GET', DOMAINS)).body.meta.paging.limit, 50, 'the usual page');
});
