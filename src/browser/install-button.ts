// <install-button>: a link that starts an install, with a fresh token in it before anybody taps (docs/apple-facts.md §2.4).
// Imports nothing up front; docs/install-button.md describes it. Must not know how tokens are made.
import type { InstallAnswer, Problem } from './client.ts';

type State = 'loading' | 'ready' | 'unsupported' | 'error' | 'limited';

/** Why this browser cannot install. */
type Reason = 'elsewhere' | 'outdated' | 'in-app' | 'frame';

/** What the button says; each text can be replaced by an attribute `text-<name>`. */
const english = {
  install: 'Install',
  loading: 'Getting ready…',
  tapped: 'Confirm on your device. Nothing happened? Tap again.',
  error: 'Installing is not possible right now.',
  offline: 'You are offline.',
  limited: 'Too many attempts. Please wait a moment.',
  retry: 'Try again',
  elsewhere: 'Open this page on your iPhone or iPad.',
  outdated: 'This needs iOS 17.5 or iPadOS 18, or later.',
  'in-app': 'Open this page in Safari.',
};
export type Texts = typeof english;

/** The link held now. Times in milliseconds of this device's clock; the server's may differ from it. */
type Held = { url: string; nonce: string; renewAt: number; endsAt: number };
type Failure = { state: 'error' | 'limited'; code: string; waitUntil: number; isServersWish: boolean };

const TIMEOUT_MS = 15_000;
const HELP = 'docs/install-did-not-start.md#';

const sheet = new CSSStyleSheet();
sheet.replaceSync(`
:host { display: inline-grid; justify-items: center; gap: .4em; inline-size: min(20em, 100%); text-align: center }
:host([hidden]), [hidden] { display: none !important }
[part=link], [part=retry] {
  display: inline-grid; place-content: center; box-sizing: border-box; padding: .6em 1.6em; border: 0; border-radius: 99em;
  min-inline-size: 9em; max-inline-size: 100%; min-block-size: 44px;
  font: inherit; font-weight: 600; text-decoration: none; cursor: pointer;
  color: var(--install-button-color, #fff); background: var(--install-button-background, #0068d6)
}
[aria-disabled=true] { opacity: .6; cursor: default }
:focus-visible { outline: 3px solid; outline-offset: 2px }
[part=message] { justify-self: stretch; margin: 0; min-block-size: 1.4em; line-height: 1.4; font-size: .875em }
[part=message] a { color: inherit }
[part=qr] { inline-size: 160px; block-size: 160px; padding: 12px; border-radius: 12px; background: #fff; color: #000 }
`);

class InstallButton extends HTMLElement {
  static readonly observedAttributes = ['app', 'account', 'subject-token', 'server', 'support'];

  /** The customer's JWT, for a service that asks for the website's sign-in. Takes effect with `refresh()`. */
  accessToken: string | undefined;

  readonly #link = part('a', 'link');
  readonly #message = part('p', 'message');
  readonly #retry = part('button', 'retry');
  readonly #qr = part('div', 'qr');
  readonly #nearness = new IntersectionObserver(
    (seen) => {
      this.#isNear = seen.at(-1)?.isIntersecting ?? false;
      this.#look();
    },
    { rootMargin: '300px' },
  );
  #listening: AbortController | undefined;
  #asking: AbortController | undefined;
  #held: Held | undefined;
  #failure: Failure | undefined;
  #failures = 0;
  #isNear = false;
  #isTapped = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #texts: Texts = english;
  #shown = '';
  #isDrawn = false;

  constructor() {
    super();
    this.#message.role = 'status';
    this.#retry.type = 'button';
    this.#retry.onclick = () => this.#tryAgain();
    this.#link.role = 'link';
    this.#link.tabIndex = 0; // reachable also while it leads nowhere, so that focus is not lost
    this.#qr.ariaHidden = 'true';
    this.#link.onclick = (event) => this.#tapped(event);
    const root = this.attachShadow({ mode: 'open' });
    root.adoptedStyleSheets = [sheet];
    root.append(this.#link, this.#retry, this.#qr, this.#message);
  }

  /** The install URL in the link now, if there is one. */
  get installUrl(): string | undefined {
    return this.#held?.url;
  }

  connectedCallback(): void {
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    document.addEventListener('visibilitychange', this.#look, { signal });
    for (const type of ['pageshow', 'online', 'offline']) addEventListener(type, this.#look, { signal });
    this.#nearness.observe(this);
    this.#translate();
    this.#look();
  }

  disconnectedCallback(): void {
    this.#listening?.abort();
    this.#nearness.disconnect();
    this.#forget();
  }

  attributeChangedCallback(): void {
    if (this.isConnected) this.refresh();
  }

  /** Lets go of the link and gets another; for when somebody has signed in, say. */
  refresh(): void {
    this.#forget();
    this.#look();
  }

  #forget(): void {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    this.#asking = this.#held = this.#failure = undefined;
    this.#failures = 0;
    this.#isTapped = false;
  }

  /** Looks at clock, page and network, does what is due, and says when to look again. */
  readonly #look = (event?: Event): void => {
    clearTimeout(this.#timer);
    if (!this.isConnected) return;
    if (event?.type === 'online' && !this.#failure?.isServersWish) this.#failure = undefined;
    const now = Date.now();
    if (this.#held && now >= this.#held.endsAt) this.#held = undefined;
    const waitUntil = this.#failure?.waitUntil ?? 0;
    const dueAt = Math.max(this.#held?.renewAt ?? 0, waitUntil);
    const isWanted = this.#isNear && document.visibilityState === 'visible' && !this.#reason();
    if (isWanted && now >= dueAt && !this.#asking && navigator.onLine) void this.#ask();
    const nextAt = Math.min(this.#held?.endsAt ?? Infinity, isWanted && dueAt > now ? dueAt : Infinity);
    // A timer takes no more than 31 bits; looking too early does no harm.
    if (nextAt < Infinity) this.#timer = setTimeout(this.#look, Math.min(nextAt - now, 2 ** 31 - 1));
    this.#render();
  };

  async #ask(): Promise<void> {
    const asking = new AbortController();
    this.#asking = asking;
    const beganAt = Date.now();
    try {
      const response = await fetch(this.#address('install-token'), {
        method: 'POST',
        credentials: 'include',
        headers: this.#headers(),
        body: JSON.stringify({
          app: this.getAttribute('app') ?? undefined,
          account: this.getAttribute('account') ?? undefined,
          token: this.getAttribute('subject-token') ?? undefined,
        }),
        signal: AbortSignal.any([asking.signal, AbortSignal.timeout(TIMEOUT_MS)]),
      });
      const body = await response.json().catch(() => ({}));
      if (asking.signal.aborted) return;
      if (response.ok) this.#hold(body as InstallAnswer, beganAt);
      else this.#fail(response.status, (body as Problem).code, response.headers.get('retry-after'));
    } catch {
      if (asking.signal.aborted) return;
      this.#fail(0, 'unreachable');
    }
    this.#asking = undefined;
    this.#look();
  }

  #hold({ installUrl, token, nonce }: InstallAnswer, beganAt: number): void {
    if (!installUrl?.startsWith('marketplace-kit://install?')) {
      this.#fail(404, 'no_package');
      return;
    }
    const { iat, exp } = JSON.parse(atob((token.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/')));
    const lifetimeMs = (exp - iat) * 1000;
    this.#failure = undefined;
    this.#failures = 0;
    this.#held = {
      url: installUrl,
      nonce,
      renewAt: beganAt + lifetimeMs * 0.7,
      // The device still has to check it after the tap.
      endsAt: beganAt + lifetimeMs - Math.min(60_000, lifetimeMs / 5),
    };
  }

  #fail(status: number, code = 'http_error', retryAfter?: string | null): void {
    const isPassing = status === 0 || status === 429 || status >= 500;
    const servers = retryAfter ? Number(retryAfter) * 1000 || Date.parse(retryAfter) - Date.now() : Number.NaN;
    const ownMs = Math.min(300_000, 1000 * 2 ** this.#failures++);
    const waitMs = servers > 0 ? servers + Math.random() * 1000 : ownMs * (1 + Math.random());
    this.#failure = {
      state: status === 429 ? 'limited' : 'error',
      code,
      waitUntil: isPassing ? Date.now() + waitMs : Infinity,
      isServersWish: servers > 0,
    };
  }

  #tryAgain(): void {
    if (this.#isToWait()) return;
    this.#failure = undefined;
    this.#look();
  }

  #tapped(event: Event): void {
    this.#look();
    const held = this.#held;
    if (!held) {
      event.preventDefault(); // no link, or one that ended while the device slept
      return;
    }
    const { nonce, url: installUrl } = held;
    this.#isTapped = true;
    this.#report(nonce);
    this.#emit('install-tap', { nonce, installUrl });
    // Only after the browser has followed the link: it reads `href` when this handler is done.
    setTimeout(() => {
      if (this.#held === held) this.#held = undefined;
      this.#look();
    });
  }

  #report(nonce: string): void {
    const [address, body] = [this.#address('installs'), JSON.stringify({ nonce })];
    // A beacon carries no credential but the cookie.
    if (!this.accessToken) navigator.sendBeacon(address, new Blob([body], { type: 'application/json' }));
    else fetch(address, { method: 'POST', keepalive: true, headers: this.#headers(), body }).catch(console.warn);
  }

  #headers(): Record<string, string> {
    const authorization = this.accessToken && { authorization: `Bearer ${this.accessToken}` };
    return { 'content-type': 'application/json', ...authorization };
  }

  /** Whether the server named a time that has not come. */
  #isToWait(): boolean {
    return Boolean(this.#failure?.isServersWish && this.#failure.waitUntil > Date.now());
  }

  #address(path: string): URL {
    const server = this.getAttribute('server');
    return new URL(path, server === null ? import.meta.url : new URL(server, document.baseURI));
  }

  #reason(): Reason | undefined {
    const given = this.getAttribute('support');
    return given === 'yes' ? undefined : ((given as Reason | null) ?? unsupportedReason());
  }

  #render(): void {
    const reason = this.#reason();
    const [held, failure] = [this.#held, this.#failure];
    const isOffline = !navigator.onLine;
    const state: State = reason
      ? 'unsupported'
      : held
        ? 'ready'
        : (failure?.state ?? (isOffline ? 'error' : 'loading'));
    const code = reason ?? (held ? undefined : isOffline ? 'offline' : failure?.code);
    this.#qr.hidden = reason !== 'elsewhere';
    if (held) this.#link.href = held.url;
    else this.#link.removeAttribute('href');
    this.#link.ariaDisabled = String(!held);
    this.#link.textContent = this.#text('install');
    this.#retry.ariaDisabled = String(this.#isToWait());
    this.#retry.textContent = this.#text('retry');
    const focused = this.shadowRoot?.activeElement;
    this.#retry.hidden = Boolean(reason || held || !failure);
    this.#link.hidden = Boolean(reason) || !this.#retry.hidden;
    if (focused === this.#link && this.#link.hidden) this.#retry.focus();
    if (focused === this.#retry && this.#retry.hidden) this.#link.focus();
    const isPrompted = this.#isTapped && (state === 'ready' || state === 'loading');
    this.#say(isPrompted ? 'tapped' : (reason ?? (isOffline && !held ? 'offline' : state)));
    if (reason === 'elsewhere') this.#drawQr();
    const shown = `${state} ${code} ${held?.nonce}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.setAttribute('state', state);
    this.setAttribute('code', code ?? '');
    this.#emit('install-state', { state, code, installUrl: held?.url, help: code && HELP + code });
  }

  /** Writes only what changed, so that a screen reader says it once. */
  #say(what: State | Reason | 'tapped' | 'offline'): void {
    const said = what === 'ready' ? '' : this.#text(what === 'frame' ? 'in-app' : (what as keyof Texts));
    if (this.#message.textContent === said) return;
    this.#message.textContent = said;
    if (what !== 'frame' && what !== 'in-app') return;
    const link = Object.assign(document.createElement('a'), { href: location.href, target: '_blank', rel: 'noopener' });
    link.append(...this.#message.childNodes);
    this.#message.append(link);
  }

  #text(name: keyof Texts): string {
    return this.getAttribute(`text-${name}`) ?? this.#texts[name];
  }

  #translate(): void {
    const language = (this.closest('[lang]')?.getAttribute('lang') || navigator.language).slice(0, 2).toLowerCase();
    if (language === 'en') return;
    // Where the page forbids it, English stays.
    import('./install-button-texts.ts').then(({ texts }) => {
      this.#texts = texts[language] ?? english;
      this.#render();
    }, console.warn);
  }

  #drawQr(): void {
    if (this.#isDrawn) return;
    this.#isDrawn = true;
    import('./install-button-qr.ts').then(({ qrCode }) => this.#qr.append(qrCode(location.href)), console.warn);
  }

  #emit(type: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}

function part<Tag extends 'a' | 'p' | 'button' | 'div'>(tag: Tag, name: string): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  element.setAttribute('part', name);
  return element;
}

/**
 * What keeps this browser from installing, if anything (docs/apple-facts.md §2.3, §2.6). An iPad calls itself a Macintosh, and
 * so does an iPhone that was asked for the desktop site; browsers beside Safari then give a version of their own.
 */
function unsupportedReason(): Reason | undefined {
  const { userAgent, maxTouchPoints } = navigator;
  const isDesktopSite = maxTouchPoints > 1 && userAgent.includes('Macintosh');
  if (!isDesktopSite && !/\((iPhone|iPad|iPod)/.test(userAgent)) return 'elsewhere';
  const isPad = userAgent.includes('(iPad') || (isDesktopSite && Math.min(screen.width, screen.height) > 600);
  const [, major, minor] = (isDesktopSite ? /\) Version\/(\d+)\.(\d+)/ : / OS (\d+)_(\d+)/).exec(userAgent) ?? [];
  const version = Number(major ?? 99) + Number(minor ?? 0) / 100;
  if (version < (isPad ? 18 : 17.05)) return 'outdated';
  if (!userAgent.includes('Safari/') || /FBA[NV]|Instagram|Line\/|GSA\/|Snapchat|Twitter|Pinterest/.test(userAgent))
    return 'in-app';
  return window.top === window ? undefined : 'frame';
}

if (!customElements.get('install-button')) customElements.define('install-button', InstallButton);

declare global {
  interface HTMLElementTagNameMap {
    'install-button': InstallButton;
  }
}
