/**
 * Every state of the demo page, in both colour schemes and at five widths: nothing sticks out, axe finds nothing, and a
 * picture is kept (ARTIFACTS_DIR).
 */

import type { Page } from 'playwright-core';
import t, { type Test } from 'tap';
import { keepPicture, reaches, violationsOf } from '../../harness/browser.ts';
import { noChromium, openChromium } from '../../harness/chromium.ts';
import { temporaryFolder } from '../../harness/folder.ts';
import { startProcess } from '../../harness/process.ts';
import { until } from '../../harness/until.ts';

const WIDTHS = [320, 390, 768, 1024, 1440];

/** `npm start`, with limits that this test does not reach. */
async function startDemo(t: Test) {
  const settings = { WEBDIST_RATE_LIMIT: '60', WEBDIST_RATE_LIMIT_ADDRESS: '100000' };
  const folder = { WEBDIST_DATA_DIR: temporaryFolder(t) };
  const { url, output } = await startProcess(t, { WEBDIST_MODE: 'sandbox', ...settings, ...folder });
  await until(() => output().includes('"event":"key_registered"'), 'a registered key');
  return url.replace('127.0.0.1', 'localhost');
}

const tap = async (page: Page) => {
  await page.locator('#install [part=link]').click();
  await page.locator('#back').waitFor();
};

/** How the page gets into each state. */
const states: Readonly<Record<string, (page: Page) => Promise<unknown>>> = {
  start: (page) => reaches(page, 'ready'),
  installed: tap,
  refused: async (page) => {
    await page.locator('input[value=elsewhere]').check();
    await tap(page);
  },
  limited: async (page) => {
    await page.locator('#too-often').click();
    await reaches(page, 'limited');
  },
  unfolded: (page) =>
    page.evaluate(() => {
      for (const details of document.querySelectorAll('details')) details.open = true;
    }),
};

t.test('every state, scheme and width', { skip: noChromium, timeout: 600_000 }, async (t) => {
  const origin = await startDemo(t);
  const browser = await openChromium(t);
  for (const [state, enter] of Object.entries(states))
    for (const colorScheme of ['light', 'dark'] as const) {
      const context = await browser.newContext({ colorScheme, reducedMotion: 'reduce' });
      const page = await context.newPage();
      await page.goto(origin);
      await reaches(page, 'ready');
      await enter(page);
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        const name = `demo-${state}-${colorScheme}-${width}`;
        t.equal(await page.evaluate(() => document.documentElement.scrollWidth), width, `${name}: nothing sticks out`);
        t.strictSame(await violationsOf(page), [], `${name}: axe`);
        await keepPicture(page, name);
      }
      await context.close();
    }
});
