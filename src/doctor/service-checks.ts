/** webdist itself from outside: button, tokens, CORS, caches, and what iOS asks of the website (docs/apple-facts.md §3.1). */

import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { verifyInstallToken } from '../install-token/verify/verify.ts';
import { type Check, type Finding, fail, ok, warn } from './check.ts';
import type { Evidence } from './facts.ts';
import type { Answer } from './web.ts';

type At = { readonly config: Config; readonly evidence: Evidence; readonly at: (path: string) => URL };

const check = (id: string, why: string, judge: (at: At) => Promise<Finding | undefined>): Check => ({
  id,
  section: 'public',
  why,
  async look(evidence) {
    const { config, options } = evidence;
    const base = options.serviceUrl ?? options.publicUrl;
    if (!config || !base || (await evidence.page())?.failed) return undefined;
    return judge({ config, evidence, at: (path) => new URL(path, base) });
  },
});

const typeOf = ({ headers }: Answer) => (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? '';

/** Asks for a token as a page of the website does. */
function askToken({ config, evidence, at }: At, origin = `https://${config.domain}`): Promise<Answer> {
  const headers = { 'content-type': 'application/json', origin };
  return evidence.web(at('/install-token'), {
    method: 'POST',
    headers,
    body: JSON.stringify({ app: config.apps[0]?.bundleId }),
  });
}

const tokenAnswer = z.object({ token: z.string() });

export const serviceChecks: readonly Check[] = [
  check('service-ready', 'Only a service that is ready signs.', async ({ evidence, at }) => {
    const answer = await evidence.web(at('/health/ready'));
    return answer.status === 200
      ? ok('ready')
      : fail(
          `/health/ready answers ${answer.failed ?? answer.status}`,
          'Route it to webdist, or say with --service URL where webdist is; its log says why it is not ready.',
        );
  }),
  check('button', 'The install button is a module that pages load.', async ({ evidence, at }) => {
    const answer = await evidence.web(at('/install-button.js'));
    if (answer.status !== 200)
      return fail(`/install-button.js answers ${answer.failed ?? answer.status}`, 'Route it to webdist.');
    return /^(text|application)\/javascript$/.test(typeOf(answer))
      ? ok('a JavaScript module')
      : fail(`/install-button.js is ${typeOf(answer)}`, 'Browsers load modules only as text/javascript.');
  }),
  check('token-answer', 'A visitor of the page gets a token.', async (at) => {
    const answer = await askToken(at);
    if (answer.status === 401 && at.config.callers.signIn) return ok('refused without a sign-in, as configured');
    return answer.status === 200
      ? ok(`in ${answer.ms} ms`)
      : fail(
          `/install-token answers ${answer.failed ?? answer.status}`,
          'Look for this request in the log of webdist.',
        );
  }),
  check('token-cache', 'A token that a cache keeps goes to the wrong visitor, and is refused.', async (at) => {
    const answer = await askToken(at);
    if (answer.status !== 200) return undefined;
    const control = answer.headers['cache-control'] ?? 'nothing';
    return /\bno-store\b/.test(control)
      ? ok(control)
      : fail(`Cache-Control is ${control}`, 'Let the proxy or CDN pass Cache-Control: no-store through.');
  }),
  check('token-cors', 'The page may read the answer, other pages may not.', async (at) => {
    const origin = `https://${at.config.domain}`;
    const answer = await askToken(at);
    if (answer.status !== 200) return undefined;
    const allowed = answer.headers['access-control-allow-origin'];
    return allowed === origin
      ? ok(origin)
      : fail(
          `Access-Control-Allow-Origin is ${allowed ?? 'missing'}, expected ${origin}`,
          'Let the proxy pass Origin to webdist and its answer back, and add no CORS headers of its own.',
        );
  }),
  check('foreign-pages', 'A page of somebody else must not get tokens for your apps.', async (at) => {
    const answer = await askToken(at, 'https://not-yours.example');
    if (answer.failed) return undefined;
    return answer.status === 200
      ? warn('a page of another origin got a token', 'Set WEBDIST_ANONYMOUS=pages, and look at the proxy.')
      : ok(`refused with ${answer.status}`);
  }),
  check('token-valid', 'What visitors get has to be what a device takes.', async (at) => {
    const answer = await askToken(at);
    const apple = await at.evidence.apple();
    if (answer.status !== 200 || !apple || apple.problem) return undefined;
    const keys = apple.keys.flatMap(({ id, publicKey }) =>
      publicKey ? [{ keyId: id, publicKey, source: 'App Store Connect' }] : [],
    );
    const verdict = verifyInstallToken(tokenOf(answer), { keys, apps: at.config.apps, nowSeconds: Date.now() / 1000 });
    const refused = verdict.checks.find(({ result }) => result === 'fail');
    return refused
      ? fail(
          `${refused.name}: ${refused.detail}`,
          refused.cause ? `Likely: ${refused.cause}.` : 'Restart webdist and look at its log.',
        )
      : ok('a device would accept it');
  }),
  check('kit-reachable', 'iOS looks there for licences, restore and updates.', async (at) => {
    const answer = await kit(at);
    if (answer.status >= 300 && answer.status < 400) return undefined;
    return answer.status === 200
      ? ok('/.well-known/marketplace-kit is there')
      : fail(
          `/.well-known/marketplace-kit answers ${answer.failed ?? answer.status}`,
          'Serve it on the registered domain and on the page’s host.',
        );
  }),
  check('kit-redirect', 'iOS follows no redirect there.', async (at) => {
    const answer = await kit(at);
    if (answer.failed) return undefined;
    return answer.status >= 300 && answer.status < 400
      ? fail(`it redirects to ${answer.headers.location}`, 'Except this path from redirects.')
      : ok('no redirect');
  }),
  check('kit-content', 'It is JSON with `license`, `restore` and `updates`.', async (at) => {
    const answer = await kit(at);
    if (answer.status !== 200) return undefined;
    const form = z.object({ license: z.object(), restore: z.string(), updates: z.object({ url: z.string() }) });
    const found = form.safeParse(jsonOf(answer));
    if (!found.success)
      return fail(
        `wrong or missing: ${found.error.issues.map(({ path }) => path.join('.') || 'the whole').join(', ')}`,
        'Serve what webdist answers there, unchanged.',
      );
    return typeOf(answer) === 'application/json'
      ? ok('license, restore and updates')
      : warn(`it is ${typeOf(answer) || 'of no type'}`, 'Serve it as application/json.');
  }),
];

/** On the page's host, whichever host the service has. */
const kit = ({ evidence }: At) =>
  evidence.web(new URL('/.well-known/marketplace-kit', evidence.options.publicUrl ?? evidence.options.serviceUrl));

function jsonOf({ body }: Answer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    // Whoever asks sees that it has no form.
    return undefined;
  }
}

const tokenOf = (answer: Answer) => tokenAnswer.safeParse(jsonOf(answer)).data?.token ?? '';
