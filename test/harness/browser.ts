/** For tests of the button: a website in front of a real service, pages with the button, and what they show. */

import { mkdirSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { AxeResults } from 'axe-core';
import type { BrowserContextOptions, Page } from 'playwright-core';
import type { Test } from 'tap';
import { listen } from './port.ts';
import { startSandbox } from './sandbox.ts';
import { startReady } from './service.ts';

/** An iPhone as web pages see it. */
export const iPhone: BrowserContextOptions = {
  userAgent:
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1',
  viewport: { width: 390, height: 844 },
  hasTouch: true,
  isMobile: true,
};

/** The service in production mode, registered with a simulated App Store Connect. `now` is the clock of both. */
export async function openStage(t: Test, settings: Record<string, string> = {}, now = Date.now) {
  const sandbox = await startSandbox(t, { now });
  const { url } = await startReady(t, sandbox, { WEBDIST_MODE: 'production', ...settings }, { now });
  return { sandbox, service: url };
}

/** What a website answers instead of forwarding the request to the service. */
type Instead = { readonly status: number; readonly headers?: Record<string, string> } | 'hang up' | 'no answer';

export type Site = {
  /** `http://localhost:…` */
  readonly origin: string;
  /** Requested paths of the service, oldest first. */
  readonly asked: string[];
  /** What the service has answered, as `POST /installs 204`, oldest first. */
  readonly answered: string[];
  /** What the browser sent and got as cookies with each `POST /install-token`, oldest first. */
  readonly cookies: { readonly sent: string | undefined; readonly set: readonly string[] }[];
  /** For `POST /install-token` from now on. */
  instead: Instead | undefined;
  /** Returns the `Set-Cookie` that the browser gets instead of the service's, for a request to `host`. */
  passCookie: (cookie: string, host: string) => string;
};

/** A website on the same origin as the service: `pages` by path; everything else goes to the service. */
export async function openSite(t: Test, service: string, pages: Record<string, string | Page200>): Promise<Site> {
  const server = createServer((asked, answer) => {
    const path = asked.url ?? '/';
    const page = pages[path];
    if (page !== undefined) {
      const { html, headers } = typeof page === 'string' ? { html: page, headers: {} } : page;
      answer.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...headers }).end(html);
      return;
    }
    site.asked.push(path);
    if (path !== '/install-token' || !site.instead) passOn(service, asked, answer, site);
    else if (site.instead === 'hang up') asked.socket.destroy();
    else if (site.instead === 'no answer') asked.resume();
    else answer.writeHead(site.instead.status, site.instead.headers).end('{}');
  });
  const site: Site = {
    origin: `http://localhost:${await listen(server)}`,
    asked: [],
    answered: [],
    cookies: [],
    instead: undefined,
    passCookie: (cookie) => cookie,
  };
  t.teardown(() => {
    server.closeAllConnections();
    return new Promise<void>((done) => server.close(() => done()));
  });
  return site;
}

export type Page200 = { readonly html: string; readonly headers: Record<string, string> };

/** The service is also at `/webdist/`, as behind a proxy that removes this prefix. */
function passOn(
  service: string,
  asked: IncomingMessage,
  answer: ServerResponse,
  { answered, cookies, passCookie }: Site,
): void {
  const { method, url, headers } = asked;
  const passed = request(new URL(url?.replace(/^\/webdist\//, '/') ?? '/', service), { method, headers }, (got) => {
    if (method === 'POST' && url === '/install-token')
      cookies.push({ sent: headers.cookie, set: got.headers['set-cookie'] ?? [] });
    answered.push(`${method} ${url} ${got.statusCode}`);
    const cookie = got.headers['set-cookie']?.map((one) => passCookie(one, headers.host ?? ''));
    answer.writeHead(got.statusCode ?? 502, { ...got.headers, ...(cookie && { 'set-cookie': cookie }) });
    got.pipe(answer);
  });
  passed.on('error', () => answer.writeHead(502).end());
  asked.pipe(passed);
}

/** A small page with the button; `inside` goes between its tags. */
export const pageWith = (attributes = '', { lang = 'en', script = '', inside = '' } = {}): string =>
  `<!doctype html><html lang="${lang}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Trail Map</title><link rel="icon" href="data:,"><style>install-button{display:inline-grid;min-block-size:70px}</style>
<script type="module" src="/install-button.js" ${script}></script>
<main><h1>Trail Map</h1><install-button reflect ${attributes}>${inside}</install-button></main></html>`;

/** The link in the button. */
export const linkOf = (page: Page) => page.locator('install-button [part=link]');

/** Waits for a state of the button. */
export const reaches = (page: Page, state: string, code?: string) =>
  page.waitForSelector(`install-button[state=${state}]${code === undefined ? '' : `[code="${code}"]`}`, {
    state: 'attached',
  });

/** The claims of the token in an install URL. */
export function claimsIn(installUrl: string | null): { readonly nonce: string; readonly dtype: string } {
  const token = new URL(installUrl ?? '').searchParams.get('installVerificationToken') ?? '';
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}

/** Console messages and page errors, for tests that expect none. */
export function complaintsOf(page: Page): string[] {
  const complaints: string[] = [];
  page.on('console', (message) => complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  return complaints;
}

/** What axe-core finds on the page: the rules that are violated, each with the elements. */
export async function violationsOf(page: Page): Promise<[string, string[]][]> {
  await page.evaluate(readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8'));
  const { violations } = (await page.evaluate('axe.run()')) as AxeResults;
  return violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]);
}

/** Keeps a picture of a state in the folder ARTIFACTS_DIR, which CI sets. */
export async function keepPicture(page: Page, name: string): Promise<void> {
  const folder = process.env['ARTIFACTS_DIR'];
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
