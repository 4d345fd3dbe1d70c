/** Checks that the private keys are present, intact, not mixed up, readable only by their owner, and able to sign. */

import { statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { appleKeyFile } from '../app-store-connect/key-file-name.ts';
import { hasCode } from '../errors.ts';
import { fingerprint, spki } from '../jws.ts';
import { type Check, type Finding, fail, info, ok, privateCheck, warn, worstOf } from './check.ts';
import type { Facts, HeldKey } from './facts.ts';

/** A slower signer delays every page noticeably. */
const SLOW_MS = 500;

const OWN_KEY = 'Create a distribution key with `webdist keygen`, and use the .p8 only for ASC_PRIVATE_KEY.';

const candidates = async ({ appKeys }: Facts) => (await appKeys()).flatMap(({ keys }) => keys);
const apiKeys = async ({ apiKey }: Facts) => [(await apiKey()) ?? []].flat();

export const keyChecks: readonly Check[] = [
  privateCheck('key-held', 'webdist cannot sign without the private half of the distribution key.', async (facts) => {
    if (!facts.config) return undefined;
    const findings = (await facts.appKeys()).flatMap(({ app, keys }) => {
      const usable = keys.filter(({ signer }) => signer).length;
      return keys.map(({ signer, problem }): Finding => {
        if (signer) return ok(`${app.bundleId}: ${signer.backend}, ${fingerprint(spki(signer.publicKey))}`);
        const found = `${app.bundleId}: ${problem?.detail ?? 'missing'}`;
        // A further candidate may be missing until a rotation, but the service refuses one that is invalid.
        const isTolerated = usable > 0 && !hasCode(problem, 'key_invalid');
        return { result: isTolerated ? 'warn' : 'fail', found, hint: problem?.hint };
      });
    });
    return worstOf(findings);
  }),
  privateCheck(
    'key-repaired',
    'webdist could repair the damaged text of the key; other programs may not.',
    async (facts) => repaired(await candidates(facts)),
  ),
  privateCheck('key-file-mode', 'Anyone who can read the private key can issue tokens for your apps.', async (facts) =>
    fileModes(await candidates(facts)),
  ),
  privateCheck(
    'key-not-api-key',
    'The distribution key must be your own. Devices refuse tokens signed with the .p8 of an Apple API key.',
    async (facts) => {
      const api = (await facts.apiKey())?.signer;
      const findings = (await candidates(facts)).map(({ locator, signer }) => {
        if (signer && api && spki(signer.publicKey) === spki(api.publicKey))
          return fail('the distribution key is the App Store Connect API key', OWN_KEY);
        const appleFile = appleKeyFile(locator);
        if (appleFile) return fail(`${appleFile.name} has the file name of a key that Apple created`, OWN_KEY);
        return signer && ok('not an Apple API key');
      });
      return worstOf(findings);
    },
  ),
  privateCheck(
    'key-rotation',
    'A version that the backend adds is not registered at Apple, and the backend may eventually remove the registered one.',
    async (facts) => {
      const findings = (await candidates(facts)).map(({ signer }) => {
        if (!signer) return undefined;
        const { backend, autoRotation } = signer;
        return autoRotation
          ? warn(
              `the ${backend} key ${autoRotation.found}`,
              `${autoRotation.hint} Rotate with \`webdist keys rotate\` instead.`,
            )
          : ok('the backend adds no versions by itself');
      });
      return worstOf(findings);
    },
  ),
  privateCheck(
    'keys-distinct',
    'App Store Connect accepts a public half only once. So the key of one app cannot also be the key of another.',
    async ({ appKeys, config }) => {
      if (!config || config.apps.length < 2) return undefined;
      const signers = (await appKeys()).map(({ keys }) => keys.find(({ signer }) => signer)?.signer);
      const distinct = new Set(signers.map((signer) => signer && spki(signer.publicKey)));
      return distinct.size < signers.length && config.keyScope === 'app'
        ? fail('several apps have the same key', 'Set WEBDIST_KEY_SCOPE=account, or give each app its own key.')
        : ok(config.keyScope === 'app' ? 'each app has its own key' : 'the key is for the whole account');
    },
  ),
  privateCheck('key-signs', 'A visitor waits while a token is signed.', async (facts) => {
    const signers = (await candidates(facts)).flatMap(({ signer }) => signer ?? []);
    const findings = signers.map(async (signer) => {
      const ms = await fastestOf(3, () => signer.sign(Buffer.from('webdist doctor')));
      return ms > SLOW_MS
        ? warn(
            `${signer.backend} took ${ms} ms to sign`,
            'Keep the key closer to the service, in the same region or in a file.',
          )
        : ok(`${signer.backend} signs in ${ms} ms`);
    });
    return worstOf(await Promise.all(findings));
  }),
  privateCheck(
    'api-key-held',
    'The id of the distribution key is read with the App Store Connect API key.',
    async ({ apiKey, config }) => {
      if (!config) return undefined;
      const key = await apiKey();
      if (!key) return info('not needed: App Store Connect is not used (WEBDIST_REGISTER=off)');
      return key.signer
        ? ok(`held (${key.signer.backend})`)
        : fail(`${config.appStoreConnect?.privateKeyVariable}: ${key.problem?.detail}`, key.problem?.hint);
    },
  ),
  privateCheck(
    'api-key-repaired',
    'webdist could repair the damaged text of the key; other programs may not.',
    async (facts) => repaired(await apiKeys(facts)),
  ),
  privateCheck(
    'api-key-file-mode',
    'Anyone who can read the API key can change your account at App Store Connect.',
    async (facts) => fileModes(await apiKeys(facts)),
  ),
  privateCheck(
    'api-key-name',
    'Apple names the file of an API key after its kind and id; a different id means a different key.',
    async ({ apiKey, config }) => {
      const file = appleKeyFile((await apiKey())?.locator ?? '');
      if (!file) return undefined;
      const { name, kind, keyId } = file;
      if (kind === 'SubscriptionKey')
        return fail(`${name} is an In-App Purchase key`, 'Use an App Store Connect API key, AuthKey_….p8.');
      return keyId === config?.appStoreConnect?.keyId
        ? ok(name)
        : fail(`${name} is not the key of ASC_KEY_ID`, `Set ASC_KEY_ID=${keyId}, or use the .p8 of that id.`);
    },
  ),
];

/** The time of the fastest of several calls; the first may open a connection, and this machine may be busy. */
async function fastestOf(times: number, work: () => unknown): Promise<number> {
  let fastest = Infinity;
  for (let call = 0; call < times && fastest > SLOW_MS; call++) {
    const started = performance.now();
    await work();
    fastest = Math.min(fastest, Math.round(performance.now() - started));
  }
  return fastest;
}

const pathOf = (locator: string) => (locator.startsWith('file:') ? fileURLToPath(locator) : undefined);

function repaired(keys: readonly HeldKey[]): Finding | undefined {
  const repairs = keys.flatMap((key) => key.repairs);
  if (repairs.length > 0) return warn(repairs.join(', '), 'Store the key exactly as it is in its .pem or .p8 file.');
  return keys.some(({ signer }) => signer) ? ok('no repair was needed') : undefined;
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
