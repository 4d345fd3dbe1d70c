/** What the tests of the button stand on: Chromium, the real service with the simulated Apple, and a website before it. */

import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { readConfig } from '../../src/config/config.ts';
import { buildServer } from '../../src/http/server.ts';
import { openSandbox, type Sandbox } from '../../src/sandbox/sandbox.ts';
import { openService } from '../../src/service/service.ts';

const CHROMIUM = '/usr/bin/chromium';

/** Why tests with a browser cannot run here; false when they can. */
export const skip = existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed`;

/** Headless Chromium as Debian ships it. `--disable-back-forward-cache`, which Playwright adds, is taken away again. */
export const openChromium = (...more: string[]): Promise<Browser> =>
  chromium.launch({
    executablePath: CHROMIUM,
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-sync',
      ...more,
    ],
  });

/** An iPhone as web pages see it. */
export const iPhone: BrowserContextOptions = {
  userAgent:
    'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1',
  viewport: { width: 390, height: 844 },
  hasTouch: true,
  isMobile: true,
};

export type Stage = {
  readonly sandbox: Sandbox;
  /** Address of the service itself, without a slash at the end. */
  readonly service: string;
  close(): Promise<void>;
};

/** The service in production mode, registered with a simulated App Store Connect. `now` is the service's clock. */
export async function openStage(settings: Record<string, string> = {}, now = Date.now): Promise<Stage> {
  const dataDir = mkdtempSync(join(tmpdir(), 'webdist-browser-'));
  const sandbox = await openSandbox({ dataDir: join(dataDir, 'apple'), now });
  const env = { ...sandbox.settings, WEBDIST_MODE: 'production', WEBDIST_DATA_DIR: dataDir, ...settings };
  const log = pino({ level: 'silent' });
  const { service, serverDeps } = await openService(readConfig(env), { env, log, now });
  await service.reconcile(); // so that the key is registered
  const { app } = await buildServer(serverDeps);
  const address = await app.listen({ host: '127.0.0.1', port: 0 });
  return {
    sandbox,
    service: address,
    async close() {
      await app.close();
      await service.close();
      await sandbox.close();
      rmSync(dataDir, { recursive: true });
    },
  };
}

/** What a website answers instead of passing a request on to the service. */
type Instead = { readonly status: number; readonly headers?: Record<string, string> } | 'hang up';

export type Site = {
  /** `http://localhost:…` */
  readonly origin: string;
  /** Paths below the service's that were asked for, oldest first. */
  readonly asked: string[];
  /** For `POST /install-token` from now on. */
  instead: Instead | undefined;
  close(): Promise<void>;
};

/** A website on the same origin as the service: `pages` by path, everything else is the service's. */
export async function openSite(service: string, pages: Record<string, string | Page200>): Promise<Site> {
  const server = createServer((asked, answer) => {
    const path = asked.url ?? '/';
    const page = pages[path];
    if (page !== undefined) {
      const { html, headers } = typeof page === 'string' ? { html: page, headers: {} } : page;
      answer.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...headers }).end(html);
      return;
    }
    site.asked.push(path);
    if (path !== '/install-token' || !site.instead) passOn(service, asked, answer);
    else if (site.instead === 'hang up') asked.socket.destroy();
    else answer.writeHead(site.instead.status, site.instead.headers).end('{}');
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const site: Site = {
    origin: `http://localhost:${(server.address() as AddressInfo).port}`,
    asked: [],
    instead: undefined,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return site;
}

export type Page200 = { readonly html: string; readonly headers: Record<string, string> };

function passOn(service: string, asked: IncomingMessage, answer: ServerResponse): void {
  const { method, url, headers } = asked;
  const passed = request(new URL(url ?? '/', service), { method, headers }, (got) => {
    answer.writeHead(got.statusCode ?? 502, got.headers);
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

/** Keeps a picture of a state in the folder ARTIFACTS_DIR, which CI sets. */
export async function keepPicture(page: Page, name: string): Promise<void> {
  const folder = process.env['ARTIFACTS_DIR'];
  if (!folder) return;
  mkdirSync(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
}
