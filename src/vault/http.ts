/**
 * HTTP requests to Vault or OpenBao. Uses Node's own client and not fetch, because VAULT_CACERT needs a separate
 * certificate store, and because a redirect must not send the Vault token to another host.
 */

import { Agent as HttpAgent, type IncomingMessage, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import { json } from 'node:stream/consumers';
import type { VaultAddress } from './address.ts';

/** `path` follows /v1/ and is already percent-encoded. */
export type Request = { readonly method: 'GET' | 'POST'; readonly path: string; readonly body?: object };

/** A response. `body` is undefined if it is not JSON. */
export type Answer = {
  readonly status: number;
  readonly body: unknown;
  readonly retryAfterSeconds: number | undefined;
};

export interface VaultHttp {
  /**
   * Throws the network's errors. Unlike the errors of fetch clients, these do not contain the request and its token.
   */
  send(request: Request, vaultToken?: string): Promise<Answer>;
  close(): void;
}

const TIMEOUT_MS = 5000;

/** Sends nothing yet. */
export function openVaultHttp({ url: base, socketPath, tls, namespace, proxyEnv }: VaultAddress): VaultHttp {
  const isHttps = base.protocol === 'https:';
  const options = { keepAlive: true, ...(proxyEnv && { proxyEnv }) };
  const agent = isHttps ? new HttpsAgent({ ...options, ...tls }) : new HttpAgent(options);
  const request = isHttps ? requestHttps : requestHttp;
  return {
    async send({ method, path, body }, vaultToken) {
      const text = body && JSON.stringify(body);
      const answer = await new Promise<IncomingMessage>((resolve, reject) => {
        const outgoing = request(new URL(`v1/${path}`, base), {
          method,
          agent,
          ...(socketPath && { socketPath }),
          signal: AbortSignal.timeout(TIMEOUT_MS),
          headers: {
            'X-Vault-Request': 'true',
            ...(namespace && { 'X-Vault-Namespace': namespace }),
            ...(vaultToken && { 'X-Vault-Token': vaultToken }),
            ...(text && { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) }),
          },
        });
        outgoing.on('response', resolve).on('error', reject).end(text);
      });
      const seconds = Number(answer.headers['retry-after']);
      return {
        status: answer.statusCode ?? 0,
        body: await bodyOf(answer),
        retryAfterSeconds: seconds > 0 ? seconds : undefined,
      };
    },
    close: () => agent.destroy(),
  };
}

async function bodyOf(answer: IncomingMessage): Promise<unknown> {
  try {
    return await json(answer);
  } catch (error) {
    // A syntax error quotes the body, which can contain a secret. Any other error comes from the network.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
