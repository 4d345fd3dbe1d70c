/**
 * `<install-button>`: a link that starts an install. It holds a fresh token before the visitor taps
 * (docs/install-button.md). Where there is no DOM, importing this module defines nothing.
 */

import { english, type Texts } from './install-button-english.ts';
import type { InstallState, InstallStateDetail, InstallTapDetail } from './install-button-events.ts';
import { languageOf, loadTexts } from './install-button-language.ts';
import { Link } from './install-button-link.ts';
import { OPTIONS, Options, upgradeProperties } from './install-button-options.ts';
import { Requests } from './install-button-requests.ts';
import { servedShare } from './install-button-served.ts';
import { type Reason, unsupportedReason } from './install-button-support.ts';
import { View } from './install-button-view.ts';

export type { InstallButtonAttributes } from './install-button-attributes.ts';
export type { InstallState, InstallStateDetail, InstallTapDetail };

export class InstallButton extends Options {
  static readonly observedAttributes = [...Object.keys(OPTIONS), ...Object.keys(english).map((name) => `text-${name}`)];

  readonly #internals = this.attachInternals?.();
  readonly #view = new View(this.attachShadow({ mode: 'open' }));
  readonly #requests = new Requests(this);
  readonly #source = new Link(
    (signal) => this.#requests.token(signal),
    () => this.#check(),
  );
  /** Steps and codes of this visit, for the reports. */
  readonly #notes = new Set<string>();
  #listening: AbortController | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Undefined until they are loaded. */
  #texts: Texts | undefined = english;
  #isNear = false;
  #isTapped = false;
  #isStale = false;
  #state: InstallState = 'loading';
  #code: string | undefined;
  #language = 'en';
  #shown = '';

  constructor() {
    super();
    this.#view.link.onclick = (event) => this.#tapped(event);
    this.#view.retry.onclick = () => {
      this.#source.retry();
      this.#check();
    };
    upgradeProperties(this);
  }

  /** The customer's JWT, for a service that requires the website's sign-in. */
  get accessToken(): string | undefined {
    return this.#requests.accessToken;
  }

  set accessToken(accessToken: string | undefined) {
    this.#requests.accessToken = accessToken;
    if (this.#code === 'unauthorized') this.refresh();
  }

  /** The install URL in the link now, if there is one. */
  get installUrl(): string | undefined {
    return this.#source.held?.url;
  }

  get state(): InstallState {
    return this.#state;
  }

  /** Why there is no link (docs/problems.md). */
  get code(): string | undefined {
    return this.#code;
  }

  connectedCallback(): void {
    const share = Number(this.getAttribute('report-share') ?? servedShare);
    if (!this.#shown && Math.random() < share)
      import('./install-button-reports.ts').then(
        ({ startReports }) => startReports(this, this.#notes, (body) => this.#requests.report('button-errors', body)),
        console.warn,
      );
    this.#listening = new AbortController();
    const { signal } = this.#listening;
    document.addEventListener('visibilitychange', this.#check, { signal });
    for (const type of ['pageshow', 'online', 'offline']) addEventListener(type, this.#check, { signal });
    const nearness = new IntersectionObserver(
      (seen) => {
        this.#isNear = seen.at(-1)?.isIntersecting ?? false;
        if (this.#isNear) this.#notes.add('shown');
        this.#check();
      },
      { rootMargin: '300px' },
    );
    nearness.observe(this);
    signal.addEventListener('abort', () => nearness.disconnect());
    this.#translate();
    this.#check();
  }

  /** Keeps the link, because frameworks move an element by removing and inserting it. */
  disconnectedCallback(): void {
    this.#listening?.abort();
    this.#listening = undefined;
    clearTimeout(this.#timer);
  }

  /** Called by `moveBefore`, which needs no change. */
  connectedMoveCallback(): void {
    this.#check();
  }

  attributeChangedCallback(name: string, before: string | null, now: string | null): void {
    if (!this.#listening || before === now) return;
    if (name.startsWith('text-')) this.#render();
    else if (!this.#isStale) {
      this.#isStale = true;
      queueMicrotask(() => this.refresh()); // one update for all attributes that change together
    }
  }

  /** Drops the link and requests another, for example after the visitor signed in. */
  refresh(): void {
    this.#isStale = this.#isTapped = false;
    this.#source.reset();
    this.#check();
  }

  /** Updates the button according to the clock, the page and the network, and sets the timer for the next check. */
  readonly #check = (event?: Event): void => {
    clearTimeout(this.#timer);
    if (!this.#listening) return;
    if (event?.type === 'online') this.#source.retry();
    const isWanted = this.#isNear && document.visibilityState === 'visible' && !this.#reason();
    const rendered = this.querySelector<HTMLAnchorElement>('a[href^="marketplace-kit:"]');
    if (isWanted && rendered) this.#source.adopt(rendered.href, this.app);
    const nextAt = this.#source.check(isWanted);
    // A timer's delay is limited to 31 bits. Checking too early does no harm.
    if (nextAt < Infinity) this.#timer = setTimeout(this.#check, Math.min(nextAt - Date.now(), 2 ** 31 - 1));
    this.#render();
  };

  #tapped(event: Event): void {
    this.#check();
    const { held } = this.#source;
    if (!held) {
      event.preventDefault(); // there is no link, or it expired while the device slept
      this.#notes.add('tapped_early');
      return;
    }
    this.#notes.add(this.#isTapped ? 'tapped_again' : 'tapped');
    this.#isTapped = true;
    const { nonce, url: installUrl } = held;
    this.#requests.report('installs', { nonce });
    this.#emit('install-tap', { nonce, installUrl } satisfies InstallTapDetail);
    // Deferred until the browser has followed the link, because it reads `href` after this handler returns.
    setTimeout(() => {
      if (this.#source.held === held) this.#source.held = undefined;
      this.#check();
    });
  }

  #reason(): Reason | undefined {
    return this.support === 'yes' ? undefined : (this.support ?? unsupportedReason());
  }

  #render(): void {
    const reason = this.#reason();
    const { held, failure, isRetryDisabled } = this.#source;
    const isOffline = !held && !navigator.onLine;
    const usable: Exclude<InstallState, 'unsupported'> = held
      ? 'ready'
      : (failure?.state ?? (isOffline ? 'error' : 'loading'));
    const state: InstallState = reason ? 'unsupported' : usable;
    if (!this.#texts && state === 'loading') return; // so that the text does not appear in one language and then change to another
    const isPrompted = this.#isTapped && (state === 'ready' || state === 'loading');
    const message = reason ?? (isPrompted ? 'tapped' : isOffline ? 'offline' : usable);
    const texts = this.#texts ?? english;
    this.#view.show(
      { message, reason, url: held?.url, canRetry: Boolean(!reason && !held && failure), isRetryDisabled },
      (name) => this.getAttribute(`text-${name}`) ?? texts[name],
    );
    this.#setStates(state, isPrompted && 'tapped');
    this.#publish(state, reason ?? (isOffline ? 'offline' : held ? undefined : failure?.code));
  }

  #setStates(...names: (string | false)[]): void {
    const states = this.#internals?.states;
    try {
      states?.clear();
      for (const name of names) if (name) states?.add(name);
    } catch {
      // Chromium before 125 accepts only states whose names start with two dashes.
    }
  }

  #publish(state: InstallState, code: string | undefined): void {
    const { installUrl } = this;
    const shown = `${state} ${code} ${installUrl}`;
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#state = state;
    this.#code = code;
    if (code || state === 'ready') this.#notes.add(code ?? state);
    if (this.hasAttribute('reflect')) {
      this.setAttribute('state', state);
      this.setAttribute('code', code ?? '');
    }
    this.#emit('install-state', {
      state,
      code,
      installUrl,
      help: code && this.#requests.helpFor(code),
    } satisfies InstallStateDetail);
  }

  #translate(): void {
    const language = languageOf(this);
    if (language === this.#language) return;
    this.#language = language;
    this.#texts = language === 'en' ? english : undefined;
    if (!this.#texts)
      loadTexts(language).then((texts) => {
        this.#texts = texts;
        if (this.#listening) this.#render();
      });
  }

  #emit(type: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, composed: true }));
  }
}

if (globalThis.customElements && !customElements.get('install-button'))
  customElements.define('install-button', InstallButton);

declare global {
  interface HTMLElementTagNameMap {
    'install-button': InstallButton;
  }
}
