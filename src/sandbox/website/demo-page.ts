/**
 * The demo page of sandbox mode, at `/`: the install button, and the simulated device that handles the tap. The page
 * calls only its own origin, so the sandbox paths that it needs are also available here, under `/_sandbox`.
 */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { stripTypeScriptTypes } from 'node:module';
import type { FastifyReply } from 'fastify';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { Sandbox } from '../sandbox.ts';
import { agedInstallUrl } from './aged-install-url.ts';

export type DemoOptions = {
  readonly sandbox: Sandbox;
  /** The registered domain. The device gets `https://<domain>/` as the page's URL. */
  readonly domain: string;
  /** The paths in the page's header; default: all that webdist has. */
  readonly links?: readonly string[];
  /** Called after the next version of the app is released; the response waits for it. */
  readonly released: () => Promise<void>;
};

const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** What the page's header can link to. */
const LINKS: Readonly<Record<string, string>> = {
  '/docs': 'HTTP API',
  '/problems': 'Problems',
  '/health/ready': 'Health',
  '/.well-known/jwks.json': 'Keys',
  '/metrics': 'Metrics',
};

/** A token alone, or a link. Optionally also the URL of another page, and the age to give the token. */
const tapBody = z.union([
  z.strictObject({ token: z.string() }),
  z.strictObject({
    installUrl: z.string(),
    pageUrl: z.string().optional(),
    ageSeconds: z.int().min(1).max(86_400).optional(),
  }),
]);

/** A plugin with the page, its assets and its paths under `/_sandbox`. */
export function demoPage({
  sandbox,
  domain,
  links = Object.keys(LINKS),
  released,
}: DemoOptions): FastifyPluginAsyncZod {
  const pageUrl = `https://${domain}/`;
  return async (app) => {
    app.addHook('onRoute', (route) => {
      route.schema = { ...route.schema, hide: true } as object;
    });
    for (const [path, { type, text }] of assets(domain, links)) {
      const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
      app.get(path, async (request, reply) => {
        reply.headers({ etag, 'cache-control': 'no-cache', 'content-security-policy': PAGE_POLICY });
        if (request.headers['if-none-match'] === etag) return reply.code(304).send();
        return reply.type(type).send(text);
      });
    }

    app.post('/_sandbox/device', { schema: { body: tapBody } }, async ({ body }) => {
      if ('token' in body) return sandbox.device(body);
      const { installUrl, ageSeconds } = body;
      return sandbox.device({
        installUrl: ageSeconds ? await agedInstallUrl(installUrl, ageSeconds, sandbox) : installUrl,
        pageUrl: body.pageUrl ?? pageUrl,
      });
    });
    // A new device has neither the memory nor the cookie of the current device.
    app.delete('/_sandbox/device', async (_, reply) => {
      reply.header('set-cookie', 'webdist_device=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax');
      return forward(sandbox, reply, 'DELETE', 'device');
    });
    app.post('/_sandbox/packages', async (_, reply) => {
      const answer = await fetch(`${sandbox.baseUrl}/_sandbox/packages`, { method: 'POST' });
      await released();
      return reply.code(answer.status).send(await answer.json());
    });
    app.get('/_sandbox/faults', (_, reply) => forward(sandbox, reply, 'GET', 'faults'));
    app.post('/_sandbox/faults', ({ body }, reply) => forward(sandbox, reply, 'POST', 'faults', body));
    app.delete('/_sandbox/faults', (_, reply) => forward(sandbox, reply, 'DELETE', 'faults'));
  };
}

function assets(domain: string, links: readonly string[]): Map<string, { type: string; text: string }> {
  const isSource = import.meta.url.endsWith('.ts');
  const read = (name: string) => readFileSync(new URL(`./demo/${name}`, import.meta.url), 'utf8');
  // In a checkout, strips types and imports `.js`, as the build does.
  const script = (name: string) =>
    isSource
      ? stripTypeScriptTypes(read(`${name}.ts`)).replace(/(from '\.\/[\w-]+)\.ts'/g, "$1.js'")
      : read(`${name}.js`);
  const scripts = ['demo', 'journey', 'claims', 'phone'].map(
    (name) => [`/demo/${name}.js`, { type: 'text/javascript; charset=utf-8', text: script(name) }] as const,
  );
  const nav = links.map((path) => `<a href="${path}">${LINKS[path]}</a>`).join(' ');
  return new Map([
    [
      '/',
      {
        type: 'text/html; charset=utf-8',
        text: read('demo.html').replaceAll('{{domain}}', domain).replace('{{links}}', nav),
      },
    ],
    ['/demo/demo.css', { type: 'text/css; charset=utf-8', text: read('demo.css') }],
    ...scripts,
  ]);
}

/** Forwards a request to the same path of the sandbox's server. */
async function forward(sandbox: Sandbox, reply: FastifyReply, method: string, path: string, body?: unknown) {
  const answer = await fetch(`${sandbox.baseUrl}/_sandbox/${path}`, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  });
  const text = await answer.text();
  reply.code(answer.status);
  return text === '' ? reply.send() : reply.type(answer.headers.get('content-type') ?? 'application/json').send(text);
}
