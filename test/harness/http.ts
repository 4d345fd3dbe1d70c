/** Requests to a service, as pages of the website and its servers send them. */

/** Requests a token as a page of the sandbox's website does. */
export function askToken(url: string, body: object = {}, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/install-token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: 'https://example.com', ...headers },
    body: JSON.stringify(body),
  });
}

export type Answer = {
  readonly status: number;
  readonly headers: Headers;
  /** The JSON; an empty object for a response without a body. */
  readonly body: Readonly<Record<string, unknown>>;
  /** The device cookie that the response sets. */
  readonly cookie: string | undefined;
};

/** A POST of JSON, as a page of `settingsIn`'s website sends it unless other headers are given. */
export async function post(url: string, body: object, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: 'https://shop.example.com', ...headers },
    body: JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: text === '' ? {} : JSON.parse(text),
    cookie: /webdist_device=[^;]+/.exec(response.headers.getSetCookie().join())?.[0],
  };
}
