/**
 * Debian's headless Chromium: one that the run shares, with a browser context for each test, and others with a test's
 * own environment.
 */

import { existsSync } from 'node:fs';
import { type Browser, type BrowserServer, chromium } from 'playwright-core';
import type { Test } from 'tap';
import { sharedServer } from './shared.ts';

const CHROMIUM = '/usr/bin/chromium';

/** Why tests with a browser cannot run here; false when they can. */
export const noChromium = existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed`;

/** Playwright adds `--disable-back-forward-cache`; the button's tests are about that cache, too. */
const launchOptions = {
  executablePath: CHROMIUM,
  ignoreDefaultArgs: ['--disable-back-forward-cache'],
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--disable-background-networking', '--disable-sync'],
};

/** A browser to which other processes connect. */
export const openBrowserServer = (): Promise<BrowserServer> => chromium.launchServer(launchOptions);

/** The browser of this run; with an environment, another one. What the test opens in it is closed with the test. */
export async function openChromium(t: Test, env?: NodeJS.ProcessEnv): Promise<Browser> {
  const browser = env
    ? await chromium.launch({ ...launchOptions, env: { ...process.env, ...env } })
    : await chromium.connect(await sharedServer('chromium'));
  t.teardown(() => browser.close());
  return browser;
}
