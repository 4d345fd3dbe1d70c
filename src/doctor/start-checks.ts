/** Checks what the service opens when it starts: its addresses, and the files of the audit log and the orders. */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { isWebdistError } from '../errors.ts';
import { listenError, localUrl, withoutBrackets } from '../host.ts';
import { ledgerBackend } from '../ledger/ledger.ts';
import { openOrderStore } from '../orders/store.ts';
import { type Check, type Finding, fail, info, ok, privateCheck, worstOf } from './check.ts';
import type { Facts } from './facts.ts';
import { jsonOf } from './web.ts';
import { appendProblem, folderProblem } from './writable.ts';

export const startChecks: readonly Check[] = [
  privateCheck('listen', 'The service must be able to listen on its address.', async ({ config, web }) => {
    if (!config) return undefined;
    const { listen, operator } = config;
    return worstOf([await listenOn(listen, '', web), operator && (await listenOn(operator, 'WEBDIST_OPERATOR_', web))]);
  }),
  privateCheck('audit-file', 'A service with an audit file starts only if it can append to it.', ({ config }) => {
    if (!config) return undefined;
    const { sinks } = config.audit;
    if (sinks.length === 0) return info('not configured');
    const problem = sinks
      .filter((url) => url.startsWith('file:'))
      .map((url) => appendProblem(fileURLToPath(url), 'WEBDIST_AUDIT'))
      .find((found) => found !== undefined);
    return problem ? fail(problem.detail, problem.hint) : ok(sinks.join(' '));
  }),
  privateCheck(
    'orders',
    'The service follows the orders of operators (keys stop, packages hold).',
    async ({ config }) => {
      // A shared store is in the ledger's database, which the check `ledger` opens.
      if (!config || ledgerBackend(config.ledger.url).isShared) return undefined;
      if (folderProblem(config.dataDir, 'WEBDIST_DATA_DIR')) return undefined;
      const store = await openOrderStore(config);
      try {
        const { revision } = await store.read();
        return ok(revision === 0 ? 'none' : `revision ${revision}`);
      } catch (error) {
        if (!isWebdistError(error)) throw error;
        return fail(error.detail, error.hint);
      } finally {
        await store.close();
      }
    },
  ),
];

const keySet = z.object({ keys: z.array(z.object({ kid: z.string() })) });

/** It is not a fault if the service itself is already running and listens there. */
async function listenOn({ host, port }: Config['listen'], prefix: string, web: Facts['web']): Promise<Finding> {
  const server = createServer();
  try {
    server.listen({ host: withoutBrackets(host), port });
    await once(server, 'listening');
    return ok(`${host} port ${port} is free`);
  } catch (cause) {
    const error = listenError(cause, { host, port }, { host: `${prefix}HOST`, port: `${prefix}PORT` });
    const isInUse = (cause as NodeJS.ErrnoException).code === 'EADDRINUSE';
    if (isInUse && (await isWebdist(localUrl({ address: withoutBrackets(host), family: '', port }), web)))
      return ok(`webdist runs on ${host} port ${port}`);
    return fail(error.detail, error.hint);
  } finally {
    server.close();
  }
}

/** Only webdist answers both of these. The operator port serves metrics instead of public keys. */
async function isWebdist(base: string, web: Facts['web']): Promise<boolean> {
  // A server on this machine that is not webdist may not answer at all.
  if ((await web(new URL('/health/live', base), { timeoutMs: 1000 })).status !== 200) return false;
  if (keySet.safeParse(jsonOf(await web(new URL('/.well-known/jwks.json', base)))).success) return true;
  return (await web(new URL('/metrics', base))).body.includes('webdist_');
}
