/** The private keys: there, whole, not mixed up, readable by nobody else, and able to sign. */

import { statSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fingerprint } from '../app-store-connect/register.ts';
import { hasCode } from '../errors.ts';
import { spki } from '../jws.ts';
import { type Check, type Finding, fail, info, ok, warn, worstOf } from './check.ts';
import type { HeldKey } from './facts.ts';

/** Slower than this, and a page waits noticeably for each token. */
const SLOW_MS = 500;

export const keyChecks: readonly Check[] = [
  {
    id: 'key-held',
    section: 'private',
    why: 'Without the private half of the distribution key nothing can be signed.',
    async look({ held, config }) {
      if (!config) return undefined;
      const findings = (await held()).flatMap(({ app, keys }) => {
        const usable = keys.filter(({ signer }) => signer).length;
        return keys.map(({ signer, problem }): Finding => {
          if (signer) return ok(`${app.bundleId}: ${signer.backend}, ${fingerprint(spki(signer.publicKey))}`);
          const found = `${app.bundleId}: ${problem?.detail ?? 'not there'}`;
          // Beside a usable key a candidate may wait for a rotation, but not be garbage: the service refuses that.
          const isWaiting = usable > 0 && !hasCode(problem, 'key_invalid');
          return { result: isWaiting ? 'warn' : 'fail', found, hint: problem?.hint };
        });
      });
      return worstOf(findings);
    },
  },
  {
    id: 'key-repaired',
    section: 'private',
    why: 'A damaged text was understood here; another program may not understand it.',
    look: async ({ held }) => repaired((await held()).flatMap(({ keys }) => keys)),
  },
  {
    id: 'key-file-mode',
    section: 'private',
    why: 'Whoever can read the private key can make tokens for your apps.',
    look: async ({ held }) => fileModes((await held()).flatMap(({ keys }) => keys)),
  },
  {
    id: 'key-is-apples',
    section: 'private',
    why: 'The distribution key is your own; the .p8 of an Apple API key is another and makes tokens no device takes.',
    async look({ held, apiKey }) {
      const api = (await apiKey())?.signer;
      const keys = (await held()).flatMap((one) => one.keys);
      const findings = keys.map(({ locator, signer }) => {
        if (signer && api && spki(signer.publicKey) === spki(api.publicKey))
          return fail('the distribution key is the App Store Connect API key', OWN_KEY);
        if (APPLE_FILE_NAME.test(fileName(locator)))
          return fail(`${fileName(locator)} is the name of a key that Apple made`, OWN_KEY);
        return signer && ok('a key of its own');
      });
      return worstOf(findings);
    },
  },
  {
    id: 'keys-distinct',
    section: 'private',
    why: 'App Store Connect takes a public half once: a key for one app cannot be the key of another.',
    async look({ held, config }) {
      if (!config || config.apps.length < 2) return undefined;
      const halves = (await held()).map(({ keys }) => keys.find(({ signer }) => signer)?.signer);
      const distinct = new Set(halves.map((signer) => signer && spki(signer.publicKey)));
      return distinct.size < halves.length && config.keyScope === 'app'
        ? fail('several apps have the same key', 'Set WEBDIST_KEY_SCOPE=account, or give each app a key of its own.')
        : ok(config.keyScope === 'app' ? 'each app has its own key' : 'keys are for the account');
    },
  },
  {
    id: 'key-signs',
    section: 'private',
    why: 'Each token is signed while a visitor waits.',
    async look({ held }) {
      const signers = (await held()).flatMap(({ keys }) => keys.flatMap(({ signer }) => signer ?? []));
      const findings = signers.map(async (signer) => {
        const started = performance.now();
        await signer.sign(Buffer.from('webdist doctor'));
        const ms = Math.round(performance.now() - started);
        return ms > SLOW_MS
          ? warn(`${signer.backend} took ${ms} ms to sign`, 'Bring the key closer: the same region, or a file.')
          : ok(`${signer.backend} signs in ${ms} ms`);
      });
      return worstOf(await Promise.all(findings));
    },
  },
  {
    id: 'api-key-held',
    section: 'private',
    why: 'Without the App Store Connect API key nobody knows the id of the distribution key.',
    async look({ apiKey, config }) {
      if (!config) return undefined;
      const key = await apiKey();
      if (!key) return info('App Store Connect is not asked (WEBDIST_REGISTER=off)');
      return key.signer
        ? ok(`held (${key.signer.backend})`)
        : fail(`ASC_PRIVATE_KEY: ${key.problem?.detail}`, key.problem?.hint);
    },
  },
  {
    id: 'api-key-repaired',
    section: 'private',
    why: 'A damaged text was understood here; another program may not understand it.',
    look: async ({ apiKey }) => repaired([(await apiKey()) ?? []].flat()),
  },
  {
    id: 'api-key-file-mode',
    section: 'private',
    why: 'Whoever can read the API key can change your account at App Store Connect.',
    look: async ({ apiKey }) => fileModes([(await apiKey()) ?? []].flat()),
  },
  {
    id: 'api-key-name',
    section: 'private',
    why: 'Apple names the file of an API key after its kind and id; another id means another key.',
    async look({ apiKey, config }) {
      const name = fileName((await apiKey())?.locator ?? '');
      const [, kind, id] = /^(AuthKey|SubscriptionKey|ApiKey)_([A-Za-z0-9]+)\.p8$/.exec(name) ?? [];
      if (kind === undefined) return undefined;
      if (kind === 'SubscriptionKey')
        return fail(`${name} is an In-App Purchase key`, 'Give an App Store Connect API key, AuthKey_….p8.');
      return id === config?.appStoreConnect?.keyId
        ? ok(name)
        : fail(`${name} is not the key of ASC_KEY_ID`, `Set ASC_KEY_ID=${id}, or give the .p8 of that id.`);
    },
  },
];

const OWN_KEY = 'Make a distribution key with `webdist keygen`, and leave the .p8 to ASC_PRIVATE_KEY.';
const APPLE_FILE_NAME = /^(AuthKey|SubscriptionKey|ApiKey)_[A-Za-z0-9]+\.p8$/;

const pathOf = (locator: string) => (locator.startsWith('file:') ? fileURLToPath(locator) : undefined);
const fileName = (locator: string) => basename(pathOf(locator) ?? '');

function repaired(keys: readonly HeldKey[]): Finding | undefined {
  // Base64 around a PEM is how a variable may hold it.
  const repairs = keys.flatMap(({ locator, repairs }) =>
    repairs.filter((repair) => !(locator.startsWith('env:') && repair.startsWith('decoded base64'))),
  );
  if (repairs.length > 0) return warn(repairs.join(', '), 'Store the key again as it is in its .pem or .p8 file.');
  return keys.some(({ signer }) => signer) ? ok('nothing had to be repaired') : undefined;
}

function fileModes(keys: readonly HeldKey[]): Finding | undefined {
  return worstOf(
    keys.map(({ locator, signer }) => {
      const path = pathOf(locator);
      if (path === undefined || !signer) return undefined;
      const mode = statSync(path).mode & 0o777;
      return mode & 0o007 || mode & 0o020
        ? warn(`${path} has mode ${mode.toString(8)}`, `chmod 600 ${path}`)
        : ok(`${path} has mode ${mode.toString(8)}`);
    }),
  );
}
