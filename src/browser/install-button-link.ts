/** The link that starts an install: requested ahead, renewed in time, and dropped when it expires (docs/apple-facts.md §2.4). */

import type { InstallAnswer, Problem } from './client.ts';

/** The link held now. Times are in milliseconds of this device's clock, which may differ from the server's. */
export type Held = { readonly url: string; readonly nonce: string; readonly renewAt: number; readonly endsAt: number };

/** Why there is no link. `waitUntil` is Infinity if waiting does not help. */
export type Failure = {
  readonly state: 'error' | 'limited';
  readonly code: string;
  readonly waitUntil: number;
  readonly isServersWish: boolean;
};

const TIMEOUT_MS = 15_000;
const PREFIX = 'marketplace-kit://install?';
/** No answer (0), and the statuses below 500 that may be temporary (RFC 9110 §15.5.9, RFC 8470 §5.2, RFC 6585 §4). */
const PASSING = [0, 408, 425, 429];

export class Link {
  held: Held | undefined;
  failure: Failure | undefined;
  #request: AbortController | undefined;
  #failures = 0;
  #adopted = '';
  readonly #send: (signal: AbortSignal) => Promise<Response>;
  readonly #onChange: () => void;

  /** `send` requests a token. `onChange` is called after each answer and failure. */
  constructor(send: (signal: AbortSignal) => Promise<Response>, onChange: () => void) {
    this.#send = send;
    this.#onChange = onChange;
  }

  /** Whether the server requested a pause that is not over yet. */
  get isRetryDisabled(): boolean {
    return Boolean(this.failure?.isServersWish && this.failure.waitUntil > Date.now());
  }

  /**
   * Drops an expired link, and requests a new one when it is due. Returns when to check again, in milliseconds, or
   * Infinity for never.
   */
  check(isWanted: boolean): number {
    const now = Date.now();
    if (this.held && now >= this.held.endsAt) this.held = undefined;
    const dueAt = Math.max(this.held?.renewAt ?? 0, this.failure?.waitUntil ?? 0);
    if (isWanted && now >= dueAt && !this.#request && navigator.onLine) void this.#fetch();
    return Math.min(this.held?.endsAt ?? Infinity, isWanted && dueAt > now ? dueAt : Infinity);
  }

  /**
   * Uses a link that the website's server rendered, unless it is for another app, its token is about to expire, or it was
   * used before. The link counts as at least as old as the page, so that a slow clock cannot extend its life.
   */
  adopt(url: string | undefined, app: string | null): void {
    if (this.held || !url?.startsWith(PREFIX) || url === this.#adopted) return;
    this.#adopted = url;
    const claims = claimsIn(new URL(url).searchParams.get('installVerificationToken') ?? '');
    if (!claims?.nonce || (app !== null && ![claims.bid, claims.iss].includes(app))) return;
    const { nonce, iat, exp } = claims;
    const held = heldFrom(url, nonce, exp - iat, Math.min(iat * 1000, performance.timeOrigin));
    if (held.endsAt > Date.now()) this.held = held;
  }

  /** Drops the link and every failure. */
  reset(): void {
    this.#request?.abort();
    this.#request = this.held = this.failure = undefined;
    this.#failures = 0;
  }

  /** Lets the next check request a link at once. */
  retry(): void {
    if (!this.isRetryDisabled) this.failure = undefined;
  }

  async #fetch(): Promise<void> {
    const request = new AbortController();
    this.#request = request;
    const beganAt = Date.now();
    try {
      const response = await this.#send(AbortSignal.any([request.signal, AbortSignal.timeout(TIMEOUT_MS)]));
      // Treats a truncated answer as a failure. A refusal may also be a proxy's own page.
      const body = await response.json().catch((error) => {
        if (response.ok) throw error;
        return {};
      });
      if (request.signal.aborted) return;
      if (response.ok) this.#hold(body as InstallAnswer, beganAt);
      else this.#fail(response.status, (body as Problem).code, response.headers.get('retry-after'));
    } catch {
      if (request.signal.aborted) return;
      this.#fail(0, 'unreachable');
    }
    this.#request = undefined;
    this.#onChange();
  }

  #hold({ installUrl, token, nonce }: InstallAnswer, beganAt: number): void {
    const claims = claimsIn(token);
    if (!claims || !installUrl?.startsWith(PREFIX)) {
      this.#fail(404, 'no_package');
      return;
    }
    this.failure = undefined;
    this.#failures = 0;
    this.held = heldFrom(installUrl, nonce, claims.exp - claims.iat, beganAt);
  }

  #fail(status: number, code = 'http_error', retryAfter?: string | null): void {
    const isPassing = PASSING.includes(status) || status >= 500;
    const serversMs = retryAfter ? Number(retryAfter) * 1000 || Date.parse(retryAfter) - Date.now() : Number.NaN;
    const ownMs = Math.min(300_000, 1000 * 2 ** this.#failures++);
    const waitMs = serversMs > 0 ? serversMs + Math.random() * 1000 : ownMs * (1 + Math.random());
    this.failure = {
      state: status === 429 ? 'limited' : 'error',
      code,
      waitUntil: isPassing ? Date.now() + waitMs : Infinity,
      isServersWish: serversMs > 0,
    };
  }
}

function heldFrom(url: string, nonce: string, lifetimeSeconds: number, beganAt: number): Held {
  const lifetimeMs = lifetimeSeconds * 1000;
  return {
    url,
    nonce,
    renewAt: beganAt + lifetimeMs * 0.7,
    // Enough time must be left for the device to check the token after the tap.
    endsAt: beganAt + lifetimeMs - Math.min(60_000, lifetimeMs / 5),
  };
}

type Claims = Readonly<{ nonce: string; iat: number; exp: number; bid: string; iss: string }>;

/** Returns the claims of an install token, or undefined if they cannot be read. Does not verify the token. */
function claimsIn(installToken: string): Claims | undefined {
  try {
    return JSON.parse(atob((installToken.split('.')[1] ?? '').replace(/-/g, '+').replace(/_/g, '/')));
  } catch {
    return undefined;
  }
}
