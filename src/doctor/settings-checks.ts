/** The settings themselves, and what they allow. */

import ky from 'ky';
import { z } from 'zod';
import { type Check, fail, info, ok, warn } from './check.ts';

export const settingsChecks: readonly Check[] = [
  {
    id: 'settings',
    section: 'private',
    why: 'The service starts only with settings that are all right.',
    look({ configProblem }) {
      if (!configProblem) return ok('all settings are well-formed');
      const lines = configProblem.detail.split('\n').map((line) => line.trim());
      return fail(
        lines.length > 1 ? `${lines[0]} ${lines.slice(1).join('; ')}` : (lines[0] ?? ''),
        'Mend each named setting; the README has the table of them.',
      );
    },
  },
  {
    id: 'mode',
    section: 'private',
    why: 'In sandbox mode Apple is simulated: no device installs with its tokens.',
    look: ({ config }) =>
      config &&
      (config.mode === 'production'
        ? ok('production')
        : warn('sandbox mode', 'Set WEBDIST_MODE=production for real devices.')),
  },
  {
    id: 'register',
    section: 'private',
    why: 'A key id that nobody compares with App Store Connect makes tokens that no device takes.',
    look({ config }) {
      if (!config) return undefined;
      if (config.register !== 'off') return ok(`WEBDIST_REGISTER=${config.register}`);
      return warn('WEBDIST_REGISTER=off: nothing is compared', 'Set WEBDIST_REGISTER=check and the ASC_* settings.');
    },
  },
  {
    id: 'callers',
    section: 'private',
    why: 'Whoever may call gets tokens, and each counts as an install of yours.',
    look({ config }) {
      if (!config) return undefined;
      const { anonymous } = config.callers;
      return anonymous === 'any' && config.mode === 'production'
        ? warn('WEBDIST_ANONYMOUS=any: any program may ask for tokens', 'Set WEBDIST_ANONYMOUS=pages.')
        : ok(`without a credential: ${anonymous}`);
    },
  },
  {
    id: 'origins',
    section: 'private',
    why: 'A page without https can be changed on its way, and iOS installs only from https.',
    look({ config }) {
      if (!config) return undefined;
      const plain = config.callers.allowedOrigins.filter((origin) => origin.startsWith('http:'));
      return plain.length === 0
        ? ok(config.callers.allowedOrigins.join(', '))
        : warn(`${plain.join(', ')} is not https`, 'Give https origins in WEBDIST_ALLOWED_ORIGINS.');
    },
  },
  {
    id: 'token-lifetime',
    section: 'private',
    why: 'The licence step alone may take a minute; a token that ends before is refused on the device.',
    look({ config }) {
      if (!config) return undefined;
      const seconds = config.tokenLifetimeSeconds;
      return seconds < 300
        ? warn(`tokens live ${seconds} s`, "Set WEBDIST_TOKEN_LIFETIME=1200, as in Apple's example.")
        : ok(`tokens live ${seconds} s`);
    },
  },
  {
    id: 'sign-in',
    section: 'private',
    why: 'Callers sign in with a JWT of your website; without its keys nobody gets a token.',
    async look({ config }) {
      if (!config) return undefined;
      const { signIn } = config.callers;
      if (!signIn) return info('callers need no sign-in of the website');
      const keys = z.object({ keys: z.array(z.object({ kty: z.string() })).min(1) });
      try {
        const found = keys.parse(await ky(signIn.jwksUrl, { timeout: 5000, retry: 0 }).json());
        return ok(`${found.keys.length} keys at WEBDIST_AUTH_JWKS_URL`);
      } catch {
        // What it is instead is the website's matter; the hint is the same.
        return fail('WEBDIST_AUTH_JWKS_URL gives no JWK set', 'Check the address, from this machine, with curl.');
      }
    },
  },
];
