/** One visit to a page with the button, in any engine: what the visitor sees and does. */

import { iPhone } from './browser.ts';
import type { Tab } from './engines.ts';
import { until } from './until.ts';

/** What the page records of a visit. */
type Seen = {
  readonly complaints: string[];
  /** Taps on the link. The page prevents their navigation: engines differ in what they do with an unknown scheme. */
  readonly taps: { readonly href: string; readonly isTrusted: boolean; readonly isActive: boolean }[];
  /** Where the paragraph below the button was, in pixels. */
  readonly tops: number[];
};

declare global {
  interface Window {
    seen: Seen;
    /** Moves the page's clock; timers that are due run in order, each with time for what it starts. */
    pass(ms: number): Promise<void>;
    /** Moves the page's clock as when the device sleeps: then all timers that are due run. */
    sleep(ms: number): Promise<void>;
    /** Moves only the clock; timers do not run. */
    skew(ms: number): void;
  }
}

/** The browser that the page pretends to be. */
export type Visitor = {
  readonly userAgent?: string | undefined;
  readonly screen?: { readonly width: number; readonly height: number } | undefined;
};

/** Runs before everything else in the page. The page contains only this function of this file. */
function prelude({ userAgent, screen = { width: 390, height: 844 } }: Visitor): void {
  if (userAgent) {
    Object.defineProperty(navigator, 'userAgent', { value: userAgent });
    Object.defineProperty(navigator, 'maxTouchPoints', { value: userAgent.includes('Android') ? 0 : 5 });
    Object.defineProperty(window, 'screen', { value: screen });
  }
  const seen: Seen = { complaints: [], taps: [], tops: [] };
  window.seen = seen;
  for (const level of ['warn', 'error'] as const) {
    const own = console[level];
    console[level] = (...all: unknown[]) => {
      seen.complaints.push(all.map(String).join(' '));
      own.apply(console, all);
    };
  }
  addEventListener('error', ({ message }) => seen.complaints.push(message));
  addEventListener('unhandledrejection', ({ reason }) => seen.complaints.push(String(reason)));
  addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
    seen.complaints.push(`${violatedDirective} ${blockedURI}`),
  );
  addEventListener('click', (event) => {
    const { href } = event.composedPath()[0] as HTMLAnchorElement;
    if (!href?.startsWith('marketplace-kit:')) return;
    event.preventDefault();
    seen.taps.push({ href, isTrusted: event.isTrusted, isActive: navigator.userActivation.isActive });
  });
  const measure = () => {
    const top = document.querySelector('#below')?.getBoundingClientRect().top;
    if (top !== undefined && seen.tops.at(-1) !== top) seen.tops.push(top);
    requestAnimationFrame(measure);
  };
  measure();

  let ahead = 0;
  const [now, wait, clear] = [Date.now, setTimeout, clearTimeout];
  const timers = new Map<number, { dueAt: number; run: () => void }>();
  Date.now = () => now() + ahead;
  window.setTimeout = ((work: () => void, ms = 0) => {
    const run = () => timers.delete(id) && work();
    const id: number = wait(run, ms) as unknown as number;
    timers.set(id, { dueAt: Date.now() + ms, run });
    return id;
  }) as typeof setTimeout;
  window.clearTimeout = (id) => {
    timers.delete(Number(id));
    clear(id);
  };
  window.skew = (ms) => {
    ahead += ms;
  };
  window.sleep = async (ms) => {
    ahead += ms;
    for (const { dueAt, run } of [...timers.values()]) if (dueAt <= Date.now()) run();
    await new Promise((done) => wait(done, 20));
  };
  window.pass = async (ms) => {
    const end = Date.now() + ms;
    for (;;) {
      const [next] = [...timers.values()].sort((a, b) => a.dueAt - b.dueAt);
      ahead += Math.max(0, Math.min(next?.dueAt ?? end, end) - Date.now());
      if (!next || next.dueAt > end) return;
      next.run();
      await new Promise((done) => wait(done, 20));
    }
  };
}

const css = `install-button { display: inline-grid; vertical-align: top; min-block-size: 6rem }
install-button[data-desktop] { min-block-size: 15rem }`;

/** A page with the button and what docs/install-button.md says about its space. */
export const visitedPage = (
  button: string,
  {
    userAgent = iPhone.userAgent,
    screen,
    lang = 'en',
    head = '<script type="module" src="/install-button.js"></script>',
  }: Visitor & { readonly lang?: string; readonly head?: string } = {},
): string => `<!doctype html><html lang="${lang}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Trail Map</title><link rel="icon" href="data:,"><script>(${prelude})(${JSON.stringify({ userAgent, screen })})</script>
<style>${css}</style>${head}<main><h1>Trail Map</h1>${button}<p id="below">Below</p></main></html>`;

/** What the visitor can see and use. */
export type View = {
  readonly state: string;
  readonly code: string | null;
  readonly message: string;
  readonly visible: readonly string[];
  readonly hasLink: boolean;
};

export const viewOf = (tab: Tab): Promise<View | null> =>
  tab.run(() => {
    const button = document.querySelector('install-button');
    const root = button?.shadowRoot;
    if (!button || !root?.querySelector('[part]')) return null;
    const isVisible = (element: Element) =>
      getComputedStyle(element).visibility === 'visible' && element.getClientRects().length > 0;
    return {
      state: button.state,
      code: button.code ?? null,
      message: root.querySelector('[part=message]')?.textContent ?? '',
      visible: ['link', 'retry', 'qr'].filter((name) => isVisible(root.querySelector(`[part=${name}]`) as Element)),
      hasLink: Boolean(root.querySelector<HTMLAnchorElement>('[part=link]')?.href),
    };
  });

/** Waits for a state of the button, and for a code when one is given. */
export const reach = (tab: Tab, state: string, code?: string): Promise<View> => {
  let view: View | null = null;
  return until(
    async () => {
      view = await viewOf(tab);
      return view?.state === state && (code === undefined || view.code === code) && view;
    },
    () => `${state} ${code ?? ''}, but ${JSON.stringify(view)}`,
    20,
  );
};

/** A real click into the middle of a part. */
export async function tap(tab: Tab, part: 'link' | 'retry'): Promise<void> {
  const { x, y } = await tab.run((name) => {
    const element = document.querySelector('install-button')?.shadowRoot?.querySelector(`[part=${name}]`);
    const box = element?.getBoundingClientRect() ?? new DOMRect();
    return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
  }, part as string);
  await tab.click(x, y);
}

export const linkIn = (tab: Tab): Promise<string | null> =>
  tab.run(() => document.querySelector('install-button')?.installUrl ?? null);
