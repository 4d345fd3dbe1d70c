/** Requests to a service, as pages and servers send them. */

/** Asks for a token as a page of the website does. */
export function askToken(url: string, body: object = {}, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/install-token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', origin: 'https://example.com', ...headers },
    body: JSON.stringify(body),
  });
}
