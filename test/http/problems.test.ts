/** The `type` of every problem is a URL that opens, and docs/problems.md has the same texts. */

import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import t from 'tap';
import { errorTitles } from '../../src/errors.ts';
import { problemGroups, problemGuides } from '../../src/http/problem-guide.ts';
import { explanationOf } from '../../src/http/routes/problems.ts';
import { buildServer } from '../../src/http/server.ts';
import { temporaryFolder } from '../harness/folder.ts';
import { settingsIn, startService } from '../harness/service.ts';

t.test('every code has a page, in HTML and in Markdown', async (t) => {
  const { url } = await startService(t, undefined, settingsIn(temporaryFolder(t)));
  const codes = Object.keys(errorTitles);
  t.ok(codes.length > 40);
  for (const code of [...codes, ...(problemGroups['Codes of the install button'] ?? [])]) {
    const guide = problemGuides.get(code);
    const markdown = await fetch(`${url}/problems/${code}`);
    t.match(markdown.headers.get('content-type'), 'text/markdown');
    t.equal(await markdown.text(), guide && `# ${guide.title}\n\n${explanationOf(code, guide)}`, code);
    const page = await fetch(`${url}/problems/${code}`, { headers: { accept: 'text/html,*/*;q=0.8' } });
    t.match(page.headers.get('content-type'), 'text/html');
    t.match(page.headers.get('vary'), 'accept');
    const html = await page.text();
    t.match(html, `<code>${code}</code>`);
    t.notMatch(html.replace(/<style>[\s\S]*<\/style>/, ''), /[`]|\*\*|\*\w/, `${code}: no Markdown is left`);
  }
  t.match(
    await (await fetch(`${url}/problems`)).text(),
    '- [`rate_limited`](problems/rate_limited): Too many requests',
  );
});

t.test('the representation follows Accept (RFC 9110 §12.5.1)', async (t) => {
  const { url } = await startService(t, undefined, settingsIn(temporaryFolder(t)));
  for (const [accept, type] of [
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'text/html'],
    ['text/html', 'text/html'],
    ['TEXT/HTML; q=0.5', 'text/html'],
    ['text/markdown, text/html;q=0.9', 'text/markdown'],
    ['text/html;q=0', 'text/markdown'],
    ['text/html;q=0.2, */*;q=0.1', 'text/html'],
    ['text/*', 'text/markdown'],
    ['*/*', 'text/markdown'],
    ['application/json', 'text/markdown'],
    ['', 'text/markdown'],
    [';;q=,', 'text/markdown'],
  ] as const) {
    const answer = await fetch(`${url}/problems/overloaded`, { headers: { accept } });
    t.match(answer.headers.get('content-type'), type, accept);
  }
});

t.test('a code that does not exist is a problem, which has a page', async (t) => {
  const { url } = await startService(t, undefined, settingsIn(temporaryFolder(t)));
  for (const code of ['nothing', 'constructor', '%00', 'OVERLOADED', 'overloaded/']) {
    const answer = await fetch(`${url}/problems/${code}`);
    t.equal(answer.status, 404, code);
    const { type } = (await answer.json()) as { type: string };
    t.equal((await fetch(new URL(type, answer.url))).status, 200);
    if (!/^\w+$/.test(code)) continue; // the others are not paths of a code
    const page = await fetch(`${url}/problems/${code}`, { headers: { accept: 'text/html,*/*;q=0.8' } });
    t.equal(page.status, 404, code);
    t.match(page.headers.get('content-type'), /^text\/html/);
    t.match(await page.text(), /There is no problem with this code[\s\S]*href="\.\/overloaded"/, 'a list of the codes');
  }
});

t.test('a path that is too long for any route is a problem, and no error of the service', async (t) => {
  const { url } = await startService(t, undefined, settingsIn(temporaryFolder(t)));
  for (const path of [
    `/problems/${'a'.repeat(100)}`,
    `/problems/${'a'.repeat(101)}`,
    `/problems/${'a'.repeat(10_000)}`,
    `/problems/${'%C3%A9'.repeat(1000)}`,
    `/problems/${'a/'.repeat(5000)}`,
    `/${'a'.repeat(14_000)}`,
    `/docs/static/${'a'.repeat(10_000)}`,
  ]) {
    for (const method of ['GET', 'HEAD']) {
      const answer = await fetch(url + path, { method });
      t.equal(answer.status, 404, `${method} ${path.slice(0, 30)}`);
      t.match(answer.headers.get('content-type'), 'application/problem+json');
      if (method === 'GET') t.match(await answer.json(), { code: 'not_found' });
    }
  }
});

t.test('a URL that is not percent-encoded is refused, in the path and in the query', async (t) => {
  const { url } = await startService(t, undefined, settingsIn(temporaryFolder(t)));
  for (const path of [
    '/%',
    '/%zz',
    '/install-token?app=%zz',
    '/install-token?account=100%',
    '/health/ready?verbose=%c3',
  ]) {
    const answer = await fetch(url + path);
    t.equal(answer.status, 400, path);
    t.match(await answer.json(), { code: 'invalid_request', detail: 'url: is not validly percent-encoded.' }, path);
  }
  t.equal((await fetch(`${url}/health/live?verbose=%E2%82%AC`)).status, 200);
});

t.test('`type` opens, wherever the problem comes from', async (t) => {
  const { url, serverDeps } = await startService(t, undefined, settingsIn(temporaryFolder(t)));
  const post = (path: string, body: string, headers = {}) =>
    fetch(url + path, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json', origin: 'https://shop.example.com', ...headers },
    });
  const answers = {
    unknown_app: await post('/install-token', '{"app":"com.example.none"}'),
    invalid_request: await post('/install-token', '{'),
    unsupported_media_type: await post('/install-token', 'x', { 'content-type': 'text/xml' }),
    not_found: await fetch(`${url}/nothing`),
    method_not_allowed: await fetch(`${url}/marketplace-kit/restore`),
  };
  for (const [code, answer] of Object.entries(answers)) {
    const problem = (await answer.json()) as { type: string; code: string };
    t.strictSame([problem.code, problem.type], [code, `/problems/${code}`]);
    t.match(await (await fetch(new URL(problem.type, answer.url))).text(), `\`${code}\``);
  }
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.end('GET / HTTP/1.1\r\nnot a header\r\n\r\n');
  t.match(await text(socket), '"type":"/problems/invalid_request"', 'what the parser refuses');

  const config = { ...serverDeps.config, problemsUrl: 'https://example.com/webdist/problems/' };
  const { app } = await buildServer({
    ...serverDeps,
    config,
    overloadLimits: { maxLagMs: 5, maxUnderWay: 0, leastUnderWay: 0, holdMs: 0 },
  });
  t.teardown(() => app.close());
  t.equal((await app.inject('/nothing')).json().type, 'https://example.com/webdist/problems/not_found');
  const busy = await app.listen({ host: '127.0.0.1', port: 0 });
  const refused = (await (await fetch(`${busy}/install-token`, { method: 'POST' })).json()) as { type: string };
  t.equal(refused.type, 'https://example.com/webdist/problems/overloaded');
});

t.test('docs/problems.md has every code', async (t) => {
  const page = new URL('../../docs/problems.md', import.meta.url);
  const section = (code: string) => {
    const guide = problemGuides.get(code);
    return `### ${code}\n\n${guide && `*${guide.title}.* ${explanationOf(code, guide).replace(`\`${code}\`: `, '')}`}`;
  };
  const parts = Object.entries(problemGroups).map(
    ([title, codes]) => `## ${title}\n\n${codes.map(section).join('\n')}`,
  );
  const start = readFileSync(page, 'utf8').split('\n## ')[0]?.trimEnd();
  const wanted = `${start}\n\n${parts.join('\n')}`;
  if (process.env['WEBDIST_WRITE_DOCS']) writeFileSync(page, wanted);
  else t.equal(readFileSync(page, 'utf8'), wanted, 'WEBDIST_WRITE_DOCS=1');
});
