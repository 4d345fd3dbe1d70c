/**
 * The examples of docs/examples with the packed button: installed from the registry, type-checked, built, rendered by
 * their servers, and hydrated in Chromium, as built and as in development, where frameworks report what does not match.
 */

import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Browser } from 'playwright-core';
import t, { type Test } from 'tap';
import { claimsIn, complaintsOf, iPhone, openStage } from '../../harness/browser.ts';
import { noChromium, openChromium } from '../../harness/chromium.ts';
import { builtPackage, pack } from '../../harness/package.ts';
import { freePort, listen, untilListening } from '../../harness/port.ts';
import { noRegistry } from '../../harness/registry.ts';

const root = new URL('../../../', import.meta.url).pathname;
const APP = 'com.example.trailmap';

type Example = {
  readonly name: string;
  /** Has a package.json: npm run check, npm run build. */
  readonly isPackage: boolean;
  /** Starts the website on a port; if absent, the folder `dist` or the example itself is served as files. */
  readonly start?: readonly string[];
  readonly dev?: readonly string[];
  /** Its server renders the link. */
  readonly rendersLink: boolean;
};

const examples: readonly Example[] = [
  { name: 'plain', isPackage: false, rendersLink: false },
  { name: 'react', isPackage: true, rendersLink: false },
  { name: 'next', isPackage: true, start: ['npm', 'start'], dev: ['npm', 'run', 'dev'], rendersLink: true },
  { name: 'vue', isPackage: true, rendersLink: false },
  { name: 'nuxt', isPackage: true, start: ['npm', 'start'], dev: ['npm', 'run', 'dev'], rendersLink: true },
  { name: 'svelte', isPackage: true, rendersLink: false },
  {
    name: 'sveltekit',
    isPackage: true,
    start: ['npm', 'start'],
    dev: ['npm', 'run', 'dev', '--', '--port', '$PORT'],
    rendersLink: true,
  },
  {
    name: 'astro',
    isPackage: true,
    start: ['npm', 'start'],
    dev: ['npm', 'run', 'dev', '--', '--port', '$PORT'],
    rendersLink: true,
  },
  { name: 'php', isPackage: false, start: ['php', '-S', '127.0.0.1:$PORT'], rendersLink: true },
  { name: 'python', isPackage: false, start: ['python3', 'server.py'], rendersLink: true },
];

/** Lines of a build that are not warnings of the framework about this example. */
const HARMLESS = [
  /No build cache found/,
  /npm warn install-scripts/,
  /\b0 warnings\b/,
  /^> /,
  /PLUGIN_TIMINGS/,
  /'NO_COLOR' env is ignored/,
  /node --trace-warnings/,
];

const folder = mkdtempSync(join(tmpdir(), 'webdist-frameworks-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

/** Without what the test runner sets: it would add it to `env` again. */
const withoutRunner = ['-u', 'NODE_OPTIONS', '-u', 'FORCE_COLOR', '-u', 'NO_COLOR'];

const run = async (command: readonly string[], cwd: string, env: Record<string, string> = {}) => {
  const { stdout, stderr } = await promisify(execFile)('/usr/bin/env', [...withoutRunner, ...command], {
    cwd,
    env: { ...process.env, ...env },
    maxBuffer: 2 ** 26,
  }).catch((error) => {
    throw new Error(`${command.join(' ')}: ${String(error.stdout).slice(-3000)}${String(error.stderr).slice(-3000)}`);
  });
  return stdout + stderr;
};
/** The Node.js of this test, not that of the machine, because SvelteKit and Nuxt need one newer than 20. */
const quiet = {
  PATH: `${dirname(process.execPath)}:${process.env['PATH']}`,
  CI: '1',
  NEXT_TELEMETRY_DISABLED: '1',
  NUXT_TELEMETRY_DISABLED: '1',
  ASTRO_TELEMETRY_DISABLED: '1',
};

t.test('the examples', { skip: noChromium, timeout: 3_600_000 }, async (t) => {
  const { filename } = pack(join(await builtPackage(), 'dist/button-package'), folder);
  const tarball = join(folder, filename);
  const apiKey = randomBytes(24).toString('base64url');
  const stage = await openStage(t, {
    WEBDIST_RATE_LIMIT: '100000',
    WEBDIST_RATE_LIMIT_ADDRESS: '100000',
    WEBDIST_ANONYMOUS: 'any',
    WEBDIST_API_KEYS: `website:${createHash('sha256').update(apiKey).digest('hex')}`,
  });
  const browser = await openChromium(t);
  const keys = {
    WEBDIST_URL: stage.service,
    WEBDIST_API_KEY: apiKey,
    NUXT_WEBDIST_URL: stage.service,
    NUXT_WEBDIST_API_KEY: apiKey,
  };

  const only = process.env['EXAMPLES']?.split(',');
  for (const example of examples.filter(({ name }) => !only || only.includes(name))) {
    const program = example.start?.[0] ?? 'npm';
    const noProgram = spawnSync('which', [program]).status !== 0 && `${program} is not installed`;
    const skip = example.isPackage ? noRegistry : noProgram;
    await t.test(example.name, { skip }, async (t) => {
      const home = join(folder, example.name);
      cpSync(join(root, 'docs/examples', example.name), home, { recursive: true });
      if (example.isPackage) {
        await run(['npm', 'pkg', 'set', `dependencies.webdist-button=file:${tarball}`], home);
        await run(['npm', 'install', '--no-audit', '--no-fund'], home);
        for (const script of ['build', 'check']) {
          const said = await run(['npm', 'run', script], home, quiet);
          const warnings = said.split('\n').filter((line) => /\bwarn/i.test(line));
          t.strictSame(
            warnings.filter((line) => !HARMLESS.some((pattern) => pattern.test(line))),
            [],
            `${script}: 0 errors, 0 warnings`,
          );
        }
      }
      const origin = await serve(t, home, example.start, keys);
      await visit(t, browser, stage.service, origin, example.rendersLink, 'as built');
      if (!example.isPackage) return;
      if (example.dev) {
        const dev = await serve(t, home, example.dev, keys);
        await fetch(dev); // compiles the page
        await visit(t, browser, stage.service, dev, example.rendersLink, 'in development', true);
      } else {
        await run(['npm', 'run', 'build', '--', '--mode', 'development'], home, { ...quiet, NODE_ENV: 'development' });
        await visit(t, browser, stage.service, await serve(t, home, undefined, {}), false, 'in development', true);
      }
    });
  }
});

/** Starts the website, and stops it with the test. Returns its origin. */
async function serve(t: Test, home: string, command: readonly string[] | undefined, env: Record<string, string>) {
  if (!command) {
    const files = existsSync(join(home, 'dist')) ? join(home, 'dist') : home;
    const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css' };
    const server = createServer(({ url = '/' }, response) => {
      const path = join(files, url === '/' ? 'index.html' : new URL(url, 'http://localhost').pathname);
      if (!existsSync(path)) response.writeHead(404).end();
      else response.setHeader('content-type', types[extname(path)] ?? 'text/plain').end(readFileSync(path));
    });
    const port = await listen(server);
    t.teardown(() => server.close());
    return `http://localhost:${port}`;
  }
  const port = await freePort();
  const args = command.map((part) => part.replace('$PORT', String(port)));
  const child = spawn('/usr/bin/env', [...withoutRunner, ...args], {
    cwd: home,
    // Its own process group, so that processes started by npm end with it.
    detached: true,
    stdio: 'ignore',
    env: { ...process.env, ...quiet, ...env, PORT: String(port), HOST: '127.0.0.1', HOSTNAME: '127.0.0.1' },
  });
  t.teardown(() => stop(child));
  await untilListening(port);
  return `http://localhost:${port}`;
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || !child.pid) return;
  const exited = once(child, 'exit');
  process.kill(-child.pid, 'SIGTERM');
  await exited;
}

/** Opens the page in Chromium, where `https://example.com/webdist/` is the real service. */
async function visit(
  t: Test,
  browser: Browser,
  service: string,
  origin: string,
  rendersLink: boolean,
  mode: string,
  isDev = false,
): Promise<void> {
  const html = await (await fetch(origin)).text();
  const rendered = /href="(marketplace-kit:[^"]+)"/.exec(html)?.[1]?.replaceAll('&amp;', '&').replaceAll('&#38;', '&');
  t.match(html, /<install-button[^>]+app="com.example.trailmap"/, `${mode}: rendered on the server`);
  t.equal(rendered !== undefined, rendersLink, `${mode}: ${rendersLink ? 'with' : 'without'} the link`);
  const page = await (await browser.newContext(iPhone)).newPage();
  page.setDefaultTimeout(20_000);
  const complaints = complaintsOf(page);
  let tokens = 0;
  await page.route('https://example.com/webdist/**', async (route) => {
    const pathname = new URL(route.request().url()).pathname.replace('/webdist/', '/');
    if (pathname === '/install-token' && route.request().method() === 'POST') tokens++;
    const headers = { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true' };
    if (route.request().method() === 'OPTIONS')
      return route.fulfill({ status: 204, headers: { ...headers, 'access-control-allow-headers': 'content-type' } });
    const response = await route.fetch({ url: service + pathname });
    return route.fulfill({ response, headers: { ...response.headers(), ...headers } });
  });
  await page.goto(origin);
  await page.waitForFunction(() => document.querySelector('install-button')?.state === 'ready');
  await page.getByText('The button is ready.').waitFor(); // the framework got the event
  const link = await page.evaluate(() => document.querySelector('install-button')?.installUrl ?? null);
  t.equal(new URL(link ?? '').protocol, 'marketplace-kit:');
  if (rendersLink) {
    t.equal(tokens, 0, `${mode}: no second token`);
    t.ok(html.includes(claimsIn(link).nonce) || claimsIn(link).nonce, `${mode}: the rendered link is used`);
  }
  t.equal(await page.locator('install-button').getAttribute('app'), APP);
  const own = complaints.filter((line) => !isDev || !/^(info|debug|log):|\[vite\]|\[HMR\]|Fast Refresh/.test(line));
  t.strictSame(own, [], `${mode}: hydrated without a word`);
  await page.context().close();
}
