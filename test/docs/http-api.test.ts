/** docs/http-api.md has every path of the API, every code that a caller can get, and every event of the log. */

import { globSync, readFileSync } from 'node:fs';
import t from 'tap';
import { startSandbox } from '../harness/sandbox.ts';
import { startService } from '../harness/service.ts';

const page = readFileSync('docs/http-api.md', 'utf8');

t.test('every path of /openapi.json', async (t) => {
  const settings = { WEBDIST_OAUTH: 'own', WEBDIST_BUTTON_ERRORS: '1' };
  const { url } = await startService(t, await startSandbox(t), settings);
  const { paths } = (await (await fetch(`${url}/openapi.json`)).json()) as { paths: Record<string, object> };
  // The button loads its other modules itself.
  for (const path of Object.keys(paths).filter((one) => !one.startsWith('/install-button-')))
    t.ok(page.includes(path), `${path} is on the page`);
  t.ok(Object.keys(paths).length > 15);
});

t.test('every code with a status of 4xx or 503, and 500 for internal_error', async (t) => {
  const source = readFileSync('src/errors.ts', 'utf8');
  const codes = [...source.matchAll(/^ {2}(\w+): \{ status: (\d{3}),/gm)].map(([, code = '', status = '']) => ({
    code,
    status,
  }));
  t.ok(codes.length > 30);
  for (const { code, status } of codes.filter((one) => /^4|503/.test(one.status) || one.code === 'internal_error'))
    t.ok(
      page.split('\n').some((line) => line.startsWith(`| ${status} |`) && line.includes(`\`${code}\``)),
      `${status} ${code} is on the page`,
    );
});

t.test('every event of the log', async (t) => {
  const sources = globSync('src/**/*.ts', { exclude: ['src/browser/**'] }).map((file) => readFileSync(file, 'utf8'));
  const events = sources.flatMap((source) => [...source.matchAll(/\bevent: '(\w+)'/g)].map(([, event = '']) => event));
  t.ok(events.length > 30);
  for (const event of new Set(events)) t.ok(page.includes(`\`${event}\``), `${event} is on the page`);
});
