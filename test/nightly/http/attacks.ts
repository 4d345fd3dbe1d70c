/** What one address can do to others within its limits: the attacks of worst-case.test.ts. */

import { type Agent, type IncomingMessage, type RequestOptions, request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

/** A caller that waits longer than this counts as failed. */
const GIVE_UP_MS = 10_000;
const APP = '6500000001';
/** All of 127.0.0.0/8 is this machine, so each caller has an address of its own. */
export const ATTACKER = '127.0.0.2';

/** `failure` is why there is no answer, with status 0: the code of the connection's error, or that it gave up. */
type Answer = { readonly status: number; readonly body: string; readonly failure?: string };
type Post = { readonly type?: string; readonly body?: string; readonly headers?: Record<string, string> };

/** Sends a request from an address. */
export function send(
  url: string,
  localAddress: string,
  { type = 'application/json', body: text, headers }: Post,
  agent?: Agent,
) {
  const options: RequestOptions = {
    method: text === undefined ? 'GET' : 'POST',
    localAddress,
    ...(agent && { agent }),
    headers: { ...(text !== undefined && { 'content-type': type, 'content-length': text.length }), ...headers },
  };
  return new Promise<Answer>((resolve) => {
    const failed = (failure: string) => resolve({ status: 0, body: '', failure });
    const outgoing = request(url, options, (incoming: IncomingMessage) => {
      let body = '';
      incoming
        .on('data', (chunk) => (body += chunk))
        .on('end', () => resolve({ status: incoming.statusCode ?? 0, body }))
        .on('close', () => failed('answer cut off'));
    });
    outgoing.setTimeout(GIVE_UP_MS, () => {
      failed(`no answer in ${GIVE_UP_MS} ms`);
      outgoing.destroy();
    });
    outgoing.on('error', (error: NodeJS.ErrnoException) => failed(error.code ?? error.message)).end(text);
  });
}

export const origin = { origin: 'https://shop.example.com' };

/** Attacks the service at `url` until `signal`. */
export type Attack = (url: string, signal: AbortSignal) => Promise<void>;

/** Sends what `next` returns from many connections, each waiting for its answer, until `signal`. */
export async function repeat(signal: AbortSignal, connections: number, next: () => Promise<Answer>) {
  const one = async () => {
    while (!signal.aborted) if ((await next()).status !== 200) await delay(10);
  };
  await Promise.all(Array.from({ length: connections }, one));
}

export const sameApp = JSON.stringify({
  platform: 'iOS',
  apps: Array.from({ length: 200 }, () => ({ appleItemId: APP, appleVersionId: '1' })),
});

export const attacks: Readonly<Record<string, Attack>> = {
  async 'slow bodies'(url, signal) {
    const { port } = new URL(url);
    const slow = async () => {
      while (!signal.aborted) {
        const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress: ATTACKER });
        socket.on('error', () => undefined);
        socket.write(
          'POST /marketplace-kit/restore HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n',
        );
        while (!signal.aborted && !socket.destroyed && socket.writable) {
          socket.write(' ');
          await delay(2000);
        }
        socket.destroy();
        await delay(100);
      }
    };
    await Promise.all(Array.from({ length: 590 }, slow));
  },
  async 'requests whose answers are not read'(url, signal) {
    const { port } = new URL(url);
    const pipeline = async () => {
      while (!signal.aborted) {
        const socket = connect({ port: Number(port), host: '127.0.0.1', localAddress: ATTACKER });
        socket.on('error', () => undefined).pause();
        for (const path of ['/docs/static/swagger-ui-bundle.js', '/openapi.json', '/metrics'])
          socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(300));
        await delay(1000);
        socket.destroy();
      }
    };
    await Promise.all(Array.from({ length: 20 }, pipeline));
  },
  'one app, two hundred times in a restore': (url, signal) =>
    repeat(signal, 20, () => send(`${url}/marketplace-kit/restore`, ATTACKER, { body: sameApp })),
  async 'subjects that it makes itself'(url, signal) {
    const accessTokens: string[] = [];
    for (let n = 0; n < 8; n++) {
      const { installUrl } = JSON.parse(
        (await send(`${url}/install-token`, ATTACKER, { body: '{}', headers: origin })).body,
      );
      const token = new URLSearchParams(String(installUrl).split('?')[1]).get('token') ?? '';
      const grant = 'urn:ietf:params:oauth:grant-type:token-exchange';
      const body = new URLSearchParams({ grant_type: grant, subject_token: token }).toString();
      const type = 'application/x-www-form-urlencoded';
      accessTokens.push(JSON.parse((await send(`${url}/oauth/token`, ATTACKER, { type, body })).body).access_token);
    }
    let next = 0;
    await repeat(signal, 20, () =>
      send(`${url}/marketplace-kit/restore`, ATTACKER, {
        body: sameApp,
        headers: { authorization: `Bearer ${accessTokens[next++ % accessTokens.length]}` },
      }),
    );
  },
};
