/** `webdist token`: issues or verifies one install verification token. */

import { configOf, processEnvironment, processSettings } from '../../config/config.ts';
import { isWebdistError, WebdistError } from '../../errors.ts';
import type { Dtype } from '../../install-token/claims.ts';
import { installUrl } from '../../install-token/install-url.ts';
import { verifyInstallToken } from '../../install-token/verify/verify.ts';
import { openLog } from '../../log.ts';
import { appsByName } from '../../service/app-named.ts';
import { openService } from '../../service/service.ts';
import { argumentOrStdin } from '../input.ts';
import { type JsonOption, print, resultLine, say, withProgress } from '../terminal.ts';
import { knownForToken } from './known-keys.ts';
import { type Origin, originOf } from './origin.ts';

/** How long to wait for App Store Connect; after that, the key id stored by an earlier run is used. */
const APPLE_ANSWER_MS = 10_000;

type MintOptions = JsonOption & { readonly app?: string; readonly subject?: string; readonly dtype?: Dtype };

export async function mintToken({ app: name, subject, dtype, json }: MintOptions): Promise<void> {
  const config = configOf(processSettings());
  // This command does not use the shared rate limits.
  const withoutRedis = { ...config, rateLimit: { ...config.rateLimit, redisUrl: undefined } };
  const { service } = await openService(withoutRedis, {
    env: processEnvironment(),
    log: openLog('silent'),
    autoReconcile: false,
  });
  try {
    const app = appsByName(config.apps)(name);
    await withProgress('Fetching the key id from App Store Connect', () => withinTime(service.reconcile()));
    const issued = await service
      .issue({
        app,
        caller: 'command',
        dtype,
        subject: subject === undefined ? undefined : { kind: 'caller', id: subject },
      })
      .catch((error) => {
        throw withCause(error);
      });
    const { packageUrl, appShareUrl } = app;
    const link = packageUrl && installUrl({ packageUrl, appShareUrl, installToken: issued.installToken });
    const expiresAt = new Date(issued.expiresAtSeconds * 1000).toISOString().replace('.000Z', 'Z');
    const data = {
      token: issued.installToken,
      expiresAt,
      dtype: issued.dtype,
      keyId: issued.keyId,
      nonce: issued.nonce,
      ...(link && { installUrl: link }),
    };
    print(data, json, [issued.installToken, ...(link ? [link] : [])]);
    if (!json) say(`${issued.dtype} of ${app.bundleId}, key ${issued.keyId}, valid until ${expiresAt}`);
  } finally {
    await service.close();
  }
}

function withinTime(work: Promise<void>): Promise<void> {
  return Promise.race([work, new Promise<void>((done) => void setTimeout(done, APPLE_ANSWER_MS).unref())]);
}

/** Adds to the error why no key is registered. A server logs the reason, but a command prints only one line. */
function withCause(error: unknown): unknown {
  if (!isWebdistError(error) || !isWebdistError(error.cause)) return error;
  const { detail, hint } = error.cause;
  return new WebdistError(error.code, `${error.detail} ${detail}`, { cause: error, ...(hint && { hint }) });
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Exits 1 if the nonce is not ours. Throws `usage_invalid` if this cannot be determined. */
function printOrigin(origin: Origin, json: boolean | undefined): void {
  if (origin.isOurs === undefined)
    throw new WebdistError('usage_invalid', `The origin of the nonce is ${origin.detail}.`);
  print({ origin }, json, [resultLine(originWord(origin), origin.detail)]);
  if (!origin.isOurs) process.exitCode = 1;
}

const originWord = ({ isOurs }: Origin) => (isOurs === undefined ? 'info' : isOurs ? 'ok' : 'warn');

type VerifyOptions = JsonOption & { readonly key?: string; readonly jwks?: string };

export async function verifyToken(argument: string, { key, jwks, json }: VerifyOptions): Promise<void> {
  const token = await argumentOrStdin(argument);
  if (UUID.test(token)) return printOrigin(await originOf(token), json);
  const { notes, ...known } = await withProgress('Fetching the public keys', () => knownForToken({ key, jwks }));
  const verdict = verifyInstallToken(token, { ...known, nowSeconds: Date.now() / 1000 });
  const { claims } = verdict;
  const origin = typeof claims?.['nonce'] === 'string' ? await originOf(claims['nonce'], claims) : undefined;
  const checks = verdict.checks.map(({ name, result, detail, cause }) => ({
    name,
    result,
    detail,
    ...(cause && { cause }),
  }));
  const width = Math.max(...checks.map(({ name }) => name.length));
  print({ ...verdict, checks, origin, notes }, json, [
    ...checks.flatMap(({ name, result, detail, cause }) => [
      resultLine(result, `${name.padEnd(width)}  ${detail}`),
      ...(cause ? [`${' '.repeat(width + 8)}likely cause: ${cause}`] : []),
    ]),
    ...(origin ? [resultLine(originWord(origin), `${'origin'.padEnd(width)}  ${origin.detail}`)] : []),
    verdict.accepted ? 'A device would accept it.' : 'A device would refuse it.',
  ]);
  if (!json) for (const note of notes) say(note);
  if (!verdict.accepted) process.exitCode = 1;
}
