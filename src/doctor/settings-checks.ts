/** Checks the settings themselves, and what they permit. */

import { z } from 'zod';
import { proxyProblem } from '../connection-problem.ts';
import { readUrl } from '../outbound.ts';
import { type Check, fail, info, ok, privateCheck, warn, worstOf } from './check.ts';

const EXPIRY_DAYS = 14;
const JWKS_BOUNDS = { maxBytes: 1024 * 1024, timeoutMs: 5000 };
const keySet = z.object({ keys: z.array(z.object({ kty: z.string() })).min(1) });

export const settingsChecks: readonly Check[] = [
  privateCheck('settings', 'The service does not start with an invalid setting.', ({ configProblem }) => {
    if (!configProblem) return ok('all settings are valid');
    const [first = '', ...lines] = configProblem.detail.split('\n').map((line) => line.trim());
    return fail(
      lines.length > 0 ? `${first} ${lines.join('; ')}` : first,
      'Correct each setting named here; docs/settings.md describes them.',
    );
  }),
  privateCheck(
    'mode',
    'In sandbox mode Apple is simulated: real devices refuse its tokens.',
    ({ config }) =>
      config &&
      (config.mode === 'production'
        ? ok('production')
        : warn('sandbox mode', 'Set WEBDIST_MODE=production for real devices.')),
  ),
  privateCheck(
    'register',
    'If the key id is not compared with App Store Connect, devices may refuse every token.',
    ({ config }) => {
      if (!config) return undefined;
      if (config.register !== 'off') return ok(`WEBDIST_REGISTER=${config.register}`);
      return warn('WEBDIST_REGISTER=off: nothing is compared', 'Set WEBDIST_REGISTER=check and the ASC_* settings.');
    },
  ),
  privateCheck('callers', 'Every token counts as an install of your app.', ({ config }) => {
    if (!config) return undefined;
    const { anonymous } = config.callers;
    return anonymous === 'any' && config.mode === 'production'
      ? warn('WEBDIST_ANONYMOUS=any: any program may request tokens', 'Set WEBDIST_ANONYMOUS=pages.')
      : ok(`without a credential: ${anonymous}`);
  }),
  privateCheck('api-keys', 'A server of yours whose API key has expired gets no tokens.', ({ config }) => {
    const keys = config?.callers.apiKeys ?? [];
    const days = ({ expiresAtMs = Infinity }: (typeof keys)[number]) =>
      Math.floor((expiresAtMs - Date.now()) / 86_400_000);
    return worstOf(
      keys.map((key) => {
        if (days(key) >= EXPIRY_DAYS) return ok(`${keys.length} API keys`);
        const found = days(key) < 0 ? 'has expired' : `expires in ${days(key)} days`;
        return warn(`the API key ${key.name} ${found}`, `webdist api-keys new ${key.name}`);
      }),
    );
  }),
  privateCheck(
    'origins',
    'A page without https can be modified in transit, and iOS installs only from https pages.',
    ({ config }) => {
      if (!config) return undefined;
      const plain = config.callers.allowedOrigins.filter((origin) => origin.startsWith('http:'));
      return plain.length === 0
        ? ok(config.callers.allowedOrigins.join(', '))
        : warn(`not https: ${plain.join(', ')}`, 'List only https origins in WEBDIST_ALLOWED_ORIGINS.');
    },
  ),
  privateCheck(
    'token-lifetime',
    'The licence step alone may take a minute. A token that expires before it ends is refused.',
    ({ config }) => {
      if (!config) return undefined;
      const seconds = config.tokenLifetimeSeconds;
      return seconds < 300
        ? warn(`tokens expire after ${seconds} s`, "Set WEBDIST_TOKEN_LIFETIME=1200, as in Apple's example.")
        : ok(`tokens expire after ${seconds} s`);
    },
  ),
  privateCheck(
    'sign-in',
    'Callers sign in with a JWT of your website. Without the keys that verify it, no one gets a token.',
    async ({ config }) => {
      if (!config) return undefined;
      const { signIn } = config.callers;
      if (!signIn) return info('no sign-in is required');
      try {
        const { keys } = keySet.parse(JSON.parse((await readUrl(signIn.jwksUrl, JWKS_BOUNDS)).bytes.toString('utf8')));
        return ok(`${keys.length} keys at WEBDIST_AUTH_JWKS_URL`);
      } catch (error) {
        const problem = proxyProblem(error);
        return problem
          ? fail(`WEBDIST_AUTH_JWKS_URL ${problem.what}`, problem.hint)
          : fail('WEBDIST_AUTH_JWKS_URL does not return a JWK set', 'Try the URL on this machine, with curl.');
      }
    },
  ),
];
