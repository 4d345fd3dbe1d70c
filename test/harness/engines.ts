/**
 * Three browser engines behind one small interface: Chromium (Playwright), Firefox (WebDriver BiDi, which it speaks
 * itself) and WebKitGTK (classic WebDriver, with MiniBrowser under Xvfb). An engine that is not installed is skipped by
 * name.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Test } from 'tap';
import { noChromium, openChromium } from './chromium.ts';
import { freePort } from './port.ts';
import { until } from './until.ts';

/** One page. `run` takes and returns JSON. */
export type Tab = {
  /** Resolves when the page has loaded. */
  goto(url: string): Promise<void>;
  /** Runs a function in the page and waits for what it returns. */
  run<Result, Argument = undefined>(
    work: (argument: Argument) => Result | Promise<Result>,
    argument?: Argument,
  ): Promise<Result>;
  /** A click of a real pointer, in pixels of the viewport. */
  click(x: number, y: number): Promise<void>;
  press(key: 'Tab' | 'Enter'): Promise<void>;
  /** Goes back; resolves when the previous page is shown again. */
  back(): Promise<void>;
};

type Options = {
  readonly forcedColors?: boolean;
  /** The port of 127.0.0.1 to which HTTPS requests go, as a proxy (RFC 9110 §9.3.6); certificates are then not checked. */
  readonly proxyPort?: number | undefined;
  /** More of the browser's environment. */
  readonly env?: Readonly<Record<string, string>>;
};

export type Engine = {
  readonly name: 'Chromium' | 'Firefox' | 'WebKitGTK';
  /** Why it cannot run here; false when it can. */
  readonly skip: string | false;
  /** Why something cannot be tested in it. */
  readonly lacks: { readonly [what in 'forcedColors' | 'httpCookie']?: string };
  /** A tab of a browser with nothing stored, closed with the test. */
  open(t: Test, options?: Options): Promise<Tab>;
};

const FIREFOX = '/usr/bin/firefox-esr';
const WEBKIT_DRIVER = '/usr/bin/WebKitWebDriver';
const XVFB = '/usr/bin/Xvfb';
const missing = (...paths: string[]) => {
  const path = paths.find((path) => !existsSync(path));
  return path === undefined ? (false as const) : `${path} is not installed`;
};

const chromium: Engine = {
  name: 'Chromium',
  skip: noChromium,
  lacks: {},
  async open(t, { forcedColors, proxyPort, env } = {}) {
    const browser = await openChromium(t, env);
    const context = await browser.newContext({
      viewport: { width: 390, height: 844 },
      ...(forcedColors && { forcedColors: 'active' }),
      ...(proxyPort && { proxy: { server: `http://127.0.0.1:${proxyPort}` }, ignoreHTTPSErrors: true }),
    });
    const page = await context.newPage();
    return {
      goto: async (url) => void (await page.goto(url)),
      run: (work, argument) => page.evaluate(work as never, argument as never),
      click: (x, y) => page.mouse.click(x, y),
      press: (key) => page.keyboard.press(key),
      back: async () => void (await page.goBack({ waitUntil: 'commit' })),
    };
  },
};

const firefox: Engine = {
  name: 'Firefox',
  skip: missing(FIREFOX),
  lacks: {},
  async open(t, { forcedColors, proxyPort, env } = {}) {
    const profile = mkdtempSync(join(tmpdir(), 'webdist-firefox-'));
    const preferences = {
      'app.update.enabled': false,
      'datareporting.policy.dataSubmissionEnabled': false,
      ...(forcedColors && { 'browser.display.document_color_use': 2 }),
    };
    writeFileSync(
      join(profile, 'user.js'),
      Object.entries(preferences)
        .map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${value});\n`)
        .join(''),
    );
    const port = await freePort();
    const child = spawn(
      FIREFOX,
      ['--headless', '--no-remote', '--profile', profile, `--remote-debugging-port=${port}`],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
        env: { ...process.env, ...env, HOME: profile, MOZ_REMOTE_ALLOW_SYSTEM_ACCESS: '1' },
      },
    );
    let said = '';
    child.stderr.on('data', (data) => {
      said += data;
    });
    await until(() => said.includes('WebDriver BiDi listening'), 'Firefox listens');
    const socket = new WebSocket(`ws://127.0.0.1:${port}/session`);
    await once(socket as never, 'open');
    const waiting = new Map<number, (message: { error?: string; message?: string; result?: unknown }) => void>();
    socket.addEventListener('message', ({ data }) => {
      const message = JSON.parse(data);
      waiting.get(message.id)?.(message);
    });
    let last = 0;
    const send = async (method: string, params: object) => {
      const id = ++last;
      const answered = new Promise<{ error?: string; message?: string; result?: unknown }>((done) =>
        waiting.set(id, done),
      );
      socket.send(JSON.stringify({ id, method, params }));
      const { error, message, result } = await answered;
      if (error) throw new Error(`${method}: ${message}`);
      return result as Record<string, never>;
    };
    const proxy = { proxyType: 'manual', sslProxy: `127.0.0.1:${proxyPort}` };
    await send('session.new', { capabilities: { alwaysMatch: proxyPort ? { acceptInsecureCerts: true, proxy } : {} } });
    const { contexts } = (await send('browsingContext.getTree', {})) as unknown as { contexts: { context: string }[] };
    const context = contexts[0]?.context ?? '';
    await send('browsingContext.setViewport', { context, viewport: { width: 390, height: 844 } });
    const act = (type: string, actions: object[]) =>
      send('input.performActions', { context, actions: [{ type, id: type, actions }] }).then(() => undefined);
    t.teardown(async () => {
      await stop(child);
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    });
    return {
      goto: async (url) => void (await send('browsingContext.navigate', { context, url, wait: 'complete' })),
      async run(work, argument) {
        const answer = (await send('script.callFunction', {
          functionDeclaration: script(work),
          arguments: [{ type: 'string', value: JSON.stringify(argument ?? null) }],
          target: { context },
          awaitPromise: true,
        })) as unknown as { result?: { value: string }; exceptionDetails?: { text: string } };
        if (!answer.result) throw new Error(answer.exceptionDetails?.text);
        return JSON.parse(answer.result.value);
      },
      click: (x, y) => act('pointer', pointer(x, y)),
      press: (key) => act('key', keys(key)),
      back: async () => void (await send('browsingContext.traverseHistory', { context, delta: -1 })),
    };
  },
};

const webkit: Engine = {
  name: 'WebKitGTK',
  skip: missing(WEBKIT_DRIVER, XVFB),
  lacks: {
    forcedColors: 'WebKit has no forced colours',
    httpCookie: 'WebKitGTK keeps no Secure cookie of http://localhost',
  },
  async open(t, { proxyPort, env: more } = {}) {
    const [port, display] = [await freePort(), `:${100 + (process.pid % 800)}`];
    const xvfb = spawn(XVFB, [display, '-screen', '0', '1280x1024x24', '-nolisten', 'tcp'], { stdio: 'ignore' });
    await until(() => existsSync(`/tmp/.X11-unix/X${display.slice(1)}`), 'Xvfb listens');
    const home = mkdtempSync(join(tmpdir(), 'webdist-webkit-'));
    const env = {
      PATH: process.env['PATH'],
      DISPLAY: display,
      HOME: home,
      XDG_RUNTIME_DIR: home,
      GDK_BACKEND: 'x11',
      ...more,
    };
    // Run as root, it has no process sandbox; the pages are our own.
    const child = spawn(WEBKIT_DRIVER, [`--port=${port}`], {
      stdio: 'ignore',
      env: { ...env, WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1', LIBGL_ALWAYS_SOFTWARE: '1' },
    });
    const send = async (method: string, path: string, body?: object) => {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        ...(body && { body: JSON.stringify(body) }),
      });
      const { value } = (await answer.json()) as { value: { error?: string; message?: string; sessionId?: string } };
      if (!answer.ok) throw new Error(`${path}: ${value.error} ${value.message}`);
      return value;
    };
    await until(
      () =>
        send('GET', '/status').then(
          () => true,
          () => false,
        ),
      'WebKitWebDriver listens',
    );
    const [binary] = globSync('/usr/lib/*/webkit2gtk-4.*/MiniBrowser');
    // It treats an sslProxy of WebDriver as a proxy that is itself reached over TLS.
    const args = ['--automation', ...(proxyPort ? [`--proxy=http://127.0.0.1:${proxyPort}`] : [])];
    const { sessionId } = await send('POST', '/session', {
      capabilities: {
        alwaysMatch: {
          'webkitgtk:browserOptions': { binary, args },
          timeouts: { script: null }, // it would count on the page's clock, which tests move
          acceptInsecureCerts: proxyPort !== undefined,
        },
      },
    });
    const at = `/session/${sessionId}`;
    const act = async (type: string, actions: object[]) =>
      void (await send('POST', `${at}/actions`, { actions: [{ type, id: type, actions }] }));
    t.teardown(async () => {
      await send('DELETE', at);
      await stop(child);
      await stop(xvfb);
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    });
    return {
      goto: async (url) => void (await send('POST', `${at}/url`, { url })),
      async run(work, argument) {
        const value = await send('POST', `${at}/execute/async`, {
          script: `const [json, done] = arguments;
              (${script(work)})(json).then(done, (error) => done(JSON.stringify({ failed: String(error) })));`,
          args: [JSON.stringify(argument ?? null)],
        });
        const result = JSON.parse(String(value));
        if (result?.failed) throw new Error(result.failed);
        return result;
      },
      click: (x, y) => act('pointer', pointer(x, y)),
      press: (key) => act('key', keys(key)),
      back: () => send('POST', `${at}/back`, {}).then(() => undefined),
    };
  },
};

/** Chromium; with BROWSERS=all, as in `npm run test:nightly`, all three. */
export const engines: readonly Engine[] = process.env['BROWSERS'] === 'all' ? [chromium, firefox, webkit] : [chromium];

/** A function from JSON text to JSON text; `undefined` becomes null. */
const script = (work: unknown) => `async (json) => JSON.stringify((await (${work})(JSON.parse(json))) ?? null)`;

const pointer = (x: number, y: number) => [
  { type: 'pointerMove', duration: 0, origin: 'viewport', x: Math.round(x), y: Math.round(y) },
  { type: 'pointerDown', button: 0 },
  { type: 'pointerUp', button: 0 },
];

/** Key codes of WebDriver (W3C WebDriver §15.4.2). */
const keys = (key: 'Tab' | 'Enter') =>
  ['keyDown', 'keyUp'].map((type) => ({ type, value: { Tab: '\uE004', Enter: '\uE007' }[key] }));

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}
