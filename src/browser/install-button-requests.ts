/** The button's requests to the service. */

import { servedFrom } from './install-button-served.ts';

export class Requests {
  /** The customer's JWT, sent as a bearer credential. */
  accessToken: string | undefined;
  readonly #button: HTMLElement;

  /** Reads the attributes of `button` for each request. */
  constructor(button: HTMLElement) {
    this.#button = button;
  }

  /** Requests an install token. */
  token(signal: AbortSignal): Promise<Response> {
    const option = (name: string) => this.#button.getAttribute(name) ?? undefined;
    const body = { app: option('app'), account: option('account'), token: option('subject-token') };
    return this.#post('install-token', body, { credentials: 'include', signal });
  }

  /** Sends data that the visitor does not wait for, even while the page unloads. */
  report(path: string, body: object): void {
    // A beacon cannot carry a credential other than the cookie.
    if (this.accessToken) this.#post(path, body, { keepalive: true }).catch(console.warn);
    else navigator.sendBeacon(this.#url(path), new Blob([JSON.stringify(body)], { type: 'application/json' }));
  }

  /** The URL of the page that explains a code. */
  helpFor(code: string): string {
    return this.#url(`problems/${code}`).href;
  }

  #post(path: string, body: object, init: RequestInit): Promise<Response> {
    const authorization = this.accessToken && { authorization: `Bearer ${this.accessToken}` };
    const headers = { 'content-type': 'application/json', ...authorization };
    return fetch(this.#url(path), { method: 'POST', headers, body: JSON.stringify(body), ...init });
  }

  #url(path: string): URL {
    const server = this.#button.getAttribute('server');
    if (server === null) return new URL(path, servedFrom ?? new URL('/', document.baseURI));
    return new URL(path, new URL(server.replace(/\/*$/, '/'), document.baseURI));
  }
}
