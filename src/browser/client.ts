/**
 * A typed client of webdist's HTTP interface (docs/http-api.md) for pages and for the website's own server;
 * only `fetch` is needed.
 */

/** What to install. The members from `subject` on need an API key. */
export type InstallRequest = {
  /** Bundle id or AppleItemID; not needed when the service has one app. */
  readonly app?: string;
  /** Opaque user id; goes into the install URL. */
  readonly account?: string;
  /** The page's own OAuth subject token; goes into the install URL. */
  readonly token?: string;
  /** The response to the challenge of the page (`WEBDIST_CHALLENGE`). */
  readonly challenge?: string;
  /** The id that stands for the device in the ledger. */
  readonly subject?: string;
  readonly dtype?: 'download' | 'redownload';
  /** ISO 3166-1 alpha-2, upper case. */
  readonly country?: string;
  /** AppleVersionID, decimal. */
  readonly version?: string;
};

/** One install verification token. */
export type InstallAnswer = {
  readonly token: string;
  /** RFC 3339, UTC. */
  readonly expiresAt: string;
  readonly dtype: 'download' | 'redownload';
  readonly keyId: string;
  readonly nonce: string;
  /** For the `href` of a link that a person taps; absent when the app has no package. */
  readonly installUrl?: string;
};

/** Problem details (RFC 9457); docs/http-api.md lists the codes. */
export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly requestId: string;
};

/**
 * Evidence that a token was used: its nonce, or with an API key also the app with the subject or the device. `device` is
 * a stable id of the device, such as Apple's `requestDeviceID`, and needs an API key.
 */
export type InstallEvidence =
  | { readonly nonce: string; readonly device?: string }
  | { readonly app?: string; readonly subject: string; readonly device?: string }
  | { readonly app?: string; readonly device: string };

/** The service refused, or it could not be reached; in the second case, `status` is 0 and `code` is `unreachable`. */
export class InstallTokenError extends Error {
  override readonly name = 'InstallTokenError';
  readonly code: string;
  readonly status: number;
  /** The service's `Retry-After`, if it sent one. */
  readonly retryAfterSeconds: number | undefined;

  constructor(problem: Pick<Problem, 'code' | 'status' | 'detail'>, retryAfterSeconds?: number, cause?: unknown) {
    super(problem.detail, { cause });
    this.code = problem.code;
    this.status = problem.status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

export type InstallClientOptions = {
  /** Address of the service, including its path if it has one. */
  readonly server: string | URL;
  /** For the website's server only. Never put it into a page. */
  readonly apiKey?: string;
  /** Used instead of the global `fetch`. */
  readonly fetch?: typeof fetch;
};

export type InstallClient = {
  /** One token. Throws `InstallTokenError`. */
  installToken(request?: InstallRequest, signal?: AbortSignal): Promise<InstallAnswer>;
  /** Up to 100 tokens, in the order of the requests; needs an API key. Throws `InstallTokenError`. */
  installTokens(requests: readonly InstallRequest[], signal?: AbortSignal): Promise<(InstallAnswer | Problem)[]>;
  /** Reports that a token was used. Throws `InstallTokenError`. */
  reportInstall(evidence: InstallEvidence, signal?: AbortSignal): Promise<void>;
};

/** Creates a client. Each call sends one request; the caller decides whether to retry. */
export function installClient({ server, apiKey, fetch = globalThis.fetch }: InstallClientOptions): InstallClient {
  const base = new URL(server);
  if (!base.pathname.endsWith('/')) base.pathname += '/';
  const post = (path: string, body: object, signal?: AbortSignal) =>
    send(fetch, new URL(path, base), {
      method: 'POST',
      credentials: 'include',
      headers: { 'content-type': 'application/json', ...(apiKey && { authorization: `Bearer ${apiKey}` }) },
      body: JSON.stringify(body),
      ...(signal && { signal }),
    });
  return {
    async installToken(request = {}, signal) {
      return (await post('install-token', request, signal)).json();
    },
    async installTokens(requests, signal) {
      const { results } = await (await post('install-tokens', { requests }, signal)).json();
      return results;
    },
    async reportInstall(evidence, signal) {
      await post('installs', evidence, signal);
    },
  };
}

async function send(fetch: typeof globalThis.fetch, address: URL, init: RequestInit): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address, init);
  } catch (cause) {
    const problem = { code: 'unreachable', status: 0, detail: `${address.origin} cannot be reached.` };
    throw new InstallTokenError(problem, undefined, cause);
  }
  if (response.ok) return response;
  const { status } = response;
  const problem: Partial<Problem> = await response.json().catch(() => ({})); // for example an HTML page from a proxy
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  throw new InstallTokenError(
    { code: problem.code ?? 'http_error', status, detail: problem.detail ?? `The service answered ${status}.` },
    Number.isFinite(retryAfter) ? retryAfter : undefined,
  );
}
