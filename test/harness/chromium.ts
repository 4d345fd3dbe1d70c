/**
 * Debian's headless Chromium: one that the run shares, with a browser context for each test, and others with a test's
 * own flags.
 */

import { existsSync } from 'node:fs';
import { type Browser, type BrowserServer, chromium } from 'playwright-core';
import type { Test } from 'tap';
import { sharedServer } from './shared.ts';

const CHROMIUM = '/usr/bin/chromium';

/** Why tests with a browser cannot run here; false when they can. */
export const noChromium = existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed`;

/** Playwright adds `--disable-back-forward-cache`; the button's tests are about that cache, too. */
const launchOptions = (...flags: readonly string[]) => ({
  executablePath: CHROMIUM,
  ignoreDefaultArgs: ['--disable-back-forward-cache'],
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--disable-background-networking',
    '--disable-sync',
    ...flags,
  ],
});

/** A browser to which other processes connect. */
export const openBrowserServer = (): Promise<BrowserServer> => chromium.launchServer(launchOptions());

/** The browser of this run; with flags, another one. What the test opens in it is closed with the test. */
export async function openChromium(t: Test, ...flags: readonly string[]): Promise<Browser> {
  const browser =
    flags.length === 0
      ? await chromium.connect(await sharedServer('chromium'))
      : await chromium.launch(launchOptions(...flags));
  t.teardown(() => browser.close());
  return browser;
}
