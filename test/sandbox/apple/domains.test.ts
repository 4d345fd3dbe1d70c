/** Alternative distribution domains of the simulated account. */

import t from 'tap';
import { call, DOMAINS, domainEntity, outcome } from '../../harness/apple-client.ts';
import { startSandbox } from '../../harness/sandbox.ts';

t.test('add, read and remove a domain', async (t) => {
  const now = Date.now();
  const sandbox = await startSandbox(t, { now: () => now });
  const added = await call(sandbox, 'POST', DOMAINS, domainEntity('example.com', 'trailmap-web'));
  t.equal(added.status, 201);
  const { id } = added.body.data;
  const self = `${sandbox.baseUrl}${DOMAINS}/${id}`;
  t.equal(added.headers.get('location'), self);
  const attributes = { domain: 'example.com', referenceName: 'trailmap-web', createdDate: new Date(now).toISOString() };
  const resource = { type: 'alternativeDistributionDomains', id, attributes, links: { self } };
  t.strictSame(added.body, { data: resource, links: { self } });
  t.strictSame((await call(sandbox, 'GET', self)).body, { data: resource, links: { self } });
  t.strictSame((await call(sandbox, 'GET', DOMAINS)).body.data, [resource]);
  t.equal((await call(sandbox, 'DELETE', self)).status, 204);
  t.equal(outcome(await call(sandbox, 'GET', self)), '404 NOT_FOUND');
  t.equal(outcome(await call(sandbox, 'DELETE', self)), '404 NOT_FOUND');
  t.equal(outcome(await call(sandbox, 'POST', DOMAINS, domainEntity('example.com'))), '201', 'it can come again');
});

t.test('refused domains', async (t) => {
  const sandbox = await startSandbox(t);
  for (const domain of ['example.com', 'get.example.com', 'xn--bcher-kva.example'])
    t.equal(outcome(await call(sandbox, 'POST', DOMAINS, domainEntity(domain))), '201', domain);
  const malformed = ['Example.com', 'https://a.example', 'a.example:443', 'a.example/', 'a.example.', 'localhost', ''];
  malformed.push('192.0.2.1', '-a.example', 'bücher.example', 'a..example', '*.example.com', ' a.example');
  malformed.push(`${'a'.repeat(64)}.example`, `${'abcdefgh.'.repeat(30)}example`);
  for (const domain of malformed) {
    const answer = await call(sandbox, 'POST', DOMAINS, domainEntity(domain));
    t.equal(outcome(answer), '409 ENTITY_ERROR.ATTRIBUTE.INVALID', domain);
    t.match(answer.body.errors[0], { source: { pointer: '/data/attributes/domain' } });
  }
  const rest: [body: unknown, outcome: string][] = [
    [domainEntity('example.com', 'another name'), '409 ENTITY_ERROR.ATTRIBUTE.INVALID.DUPLICATE'],
    [domainEntity('b.example', ' '), '409 ENTITY_ERROR.ATTRIBUTE.INVALID'],
    [
      { data: { type: 'alternativeDistributionDomains', attributes: { domain: 'b.example' } } },
      '422 ENTITY_UNPROCESSABLE',
    ],
    [domainEntity(5), '422 ENTITY_UNPROCESSABLE'],
    ['nonsense', '400 ENTITY_INVALID'],
  ];
  for (const [body, expected] of rest) t.equal(outcome(await call(sandbox, 'POST', DOMAINS, body)), expected);
});

t.test('of ten identical concurrent requests, one succeeds', async (t) => {
  const sandbox = await startSandbox(t);
  const body = domainEntity('example.com');
  const answers = await Promise.all(Array.from({ length: 10 }, () => call(sandbox, 'POST', DOMAINS, body)));
  t.equal(answers.filter(({ status }) => status === 201).length, 1);
  t.equal(answers.filter((answer) => outcome(answer).endsWith('.DUPLICATE')).length, 9);
});
