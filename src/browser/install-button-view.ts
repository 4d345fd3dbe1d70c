/** The visible button: four parts in a shadow root. Its size is the same in every state. */

import type { Texts } from './install-button-english.ts';
import { addStyle } from './install-button-style.ts';
import { type Reason, safariUrl } from './install-button-support.ts';

/** What to show. `url` is set when the link can be tapped, and `isRetryDisabled` while a retry is pointless. */
export type Appearance = {
  readonly message: Exclude<keyof Texts, 'install' | 'retry'> | 'frame' | 'ready';
  readonly reason: Reason | undefined;
  readonly url: string | undefined;
  readonly canRetry: boolean;
  readonly isRetryDisabled: boolean;
};

/** The messages that a supported browser can show. The button reserves space for them. */
const SPACE: readonly (keyof Texts)[] = ['loading', 'tapped', 'error', 'offline', 'limited'];

export class View {
  readonly link = part('a', 'link');
  readonly retry = part('button', 'retry');
  readonly #qr = part('div', 'qr');
  readonly #message = part('p', 'message');
  readonly #space = SPACE.map(() => document.createElement('span'));
  readonly #root: ShadowRoot;

  constructor(root: ShadowRoot) {
    this.#root = root;
    addStyle(root);
    this.link.role = 'link';
    this.link.tabIndex = 0; // focusable even without a URL, so that focus is not lost
    this.retry.type = 'button';
    this.#qr.ariaHidden = 'true';
    this.#qr.hidden = true;
    this.#message.role = 'status';
  }

  /** Writes only changed text, so that a screen reader reads it once. */
  show({ message, reason, url, canRetry, isRetryDisabled }: Appearance, text: (name: keyof Texts) => string): void {
    const { link, retry } = this;
    if (!link.isConnected) this.#append();
    if (url) link.href = url;
    else link.removeAttribute('href');
    link.ariaDisabled = String(!url);
    link.textContent = text('install');
    retry.ariaDisabled = String(isRetryDisabled);
    retry.textContent = text('retry');
    const focused = this.#root.activeElement;
    retry.hidden = !canRetry;
    link.hidden = Boolean(reason) || canRetry;
    if (focused === link && link.hidden) retry.focus();
    if (focused === retry && retry.hidden) link.focus();
    for (const [index, span] of this.#space.entries()) span.textContent = text(SPACE[index] as keyof Texts);
    this.#message.className = reason && reason !== 'elsewhere' ? 'alone' : '';
    this.#setMessage(message === 'ready' ? '' : text(message === 'frame' ? 'in-app' : message), reason);
    if (reason === 'elsewhere' && this.#qr.hidden) this.#drawQr();
    this.#qr.hidden = reason !== 'elsewhere';
  }

  #append(): void {
    const space = cell(...this.#space);
    space.className = 'space';
    this.#root.append(cell(this.link), cell(this.retry), cell(this.#qr), space, this.#message);
  }

  #setMessage(text: string, reason: Reason | undefined): void {
    if (this.#message.textContent === text) return;
    this.#message.textContent = text;
    if (reason !== 'frame' && reason !== 'in-app') return;
    const link = document.createElement('a');
    link.href = reason === 'frame' ? location.href : safariUrl();
    link.target = '_blank';
    link.rel = 'noopener';
    link.append(...this.#message.childNodes);
    this.#message.append(link);
  }

  #drawQr(): void {
    import('./install-button-qr.ts').then(
      ({ qrCode }) => this.#qr.replaceChildren(qrCode(location.href)),
      console.warn,
    );
  }
}

function cell(...children: Node[]): HTMLElement {
  const element = document.createElement('div');
  element.append(...children);
  return element;
}

function part<Tag extends 'a' | 'p' | 'button' | 'div'>(tag: Tag, name: string): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  element.setAttribute('part', name);
  return element;
}
