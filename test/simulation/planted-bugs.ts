/**
 * Bugs that the simulation must find, one at a time. Each changes the source text of one module while it is loaded (world/hooks.ts).
 */

import type { SourceChange } from './world/hooks.ts';

export type PlantedBug = SourceChange & {
  readonly name: string;
};

export const plantedBugs: readonly PlantedBug[] = [
  {
    name: 'evidence is stored after the response',
    file: 'src/service/records.ts',
    find: 'await addShown(shown);',
    replace: 'void addShown(shown).catch(() => undefined);',
  },
  {
    name: 'evidence counts for any device that reports it',
    file: 'src/service/records.ts',
    find: 'if (subject !== undefined && subject !== record.subject) return undefined;',
    replace: '',
  },
  {
    name: 'a failure to store evidence is not reported',
    file: 'src/service/records.ts',
    find: 'metrics.ledgerFailures.inc();\n        throw asUnavailable(error);\n      }\n    },\n    get problem',
    replace: 'metrics.ledgerFailures.inc();\n      }\n    },\n    get problem',
  },
  {
    name: '> instead of >= at the end of the window',
    file: 'src/ledger/rule.ts',
    find: 'nowSeconds >= install.redownloadAtSeconds',
    replace: 'nowSeconds > install.redownloadAtSeconds',
  },
  {
    name: 'the window is forgotten',
    file: 'src/ledger/rule.ts',
    find: 'nowSeconds >= install.redownloadAtSeconds',
    replace: 'true',
  },
  {
    name: 'a device is new while the ledger is down',
    file: 'src/ledger/rule.ts',
    find: "LEDGER_DOWN_DTYPE: Dtype = 'redownload'",
    replace: "LEDGER_DOWN_DTYPE: Dtype = 'download'",
  },
  {
    name: 'repeated evidence moves the change of the dtype to a later time',
    file: 'src/ledger/sqlite.ts',
    find: 'redownload_at = min(redownload_at, excluded.redownload_at)\n         WHERE excluded.installed_at < installed_at OR excluded.redownload_at < redownload_at',
    replace: 'redownload_at = excluded.redownload_at',
  },
  {
    name: 'nonces begin at the same number in every process',
    file: 'src/install-token/nonce.ts',
    find: 'let counter = random(2 ** 32);',
    replace: 'let counter = 0;',
  },
  {
    name: 'a check that was sent before a step of a rotation counts',
    file: 'src/registration/state.ts',
    find: "event.generation !== state.generation || state.rotation === 'switching'",
    replace: 'false',
  },
  {
    name: 'findings from before a step of a rotation count',
    file: 'src/registration/shared-checks.ts',
    find: 'news?.found.step === step &&',
    replace: 'news &&',
  },
  {
    name: 'the command that rotates does not wait for the replicas',
    file: 'src/registration/rotation/journal.ts',
    find: 'await clock.sleep(areAlert ? ALERT.freshMs + ALERT_MARGIN_MS : CALM.freshMs + MARGIN_MS);',
    replace: '',
  },
  {
    name: 'a rotation whose command was killed pauses the replicas for ever',
    file: 'src/registration/rotation/watch.ts',
    find: 'clock.elapsed() - changedAt > ABANDONED_MS',
    replace: 'false',
  },
  {
    name: 'a key that a person removed is registered again',
    file: 'src/registration/reconcile.ts',
    find: "register === 'ensure' && ever !== undefined && !ever.has(name)",
    replace: "register === 'ensure'",
  },
  {
    name: 'after a failed check, none follows',
    file: 'src/registration/watch.ts',
    find: 'cancelNext = clock.after(untilDueMs === 0 ?',
    replace: 'if (!worstProblem(deps)) cancelNext = clock.after(untilDueMs === 0 ?',
  },
  {
    name: 'every replica checks for itself',
    file: 'src/registration/shared-checks.ts',
    find: 'const turn = await attempt(() => take(wantedForMs));',
    replace: 'const turn = await attempt(async () => undefined);',
  },
  {
    name: 'a stop order is forgotten at a restart',
    file: 'src/orders/store-postgres.ts',
    find: 'remembered: file.remembered,',
    replace: 'remembered: async () => NO_ORDERS,',
  },
  {
    name: 'a suspended replica signs by the orders that it read before',
    file: 'src/orders/follow.ts',
    find: 'isOld() ? readInTime() : undefined',
    replace: 'undefined',
  },
  {
    name: 'a suspended replica signs by the notice of a rotation that it read before',
    file: 'src/service/issuing.ts',
    find: '[keys.ensureFresh(), ',
    replace: '[undefined, ',
  },
  {
    name: 'two orders at once are not serialized',
    file: 'src/orders/store-postgres.ts',
    find: "await query('SELECT pg_advisory_xact_lock($1)', [LOCK]);",
    replace: '',
  },
  {
    name: 'ready although the clock is too far off to sign',
    file: 'src/service/health.ts',
    find: 'ready: !problem && keys',
    replace: 'ready: keys',
  },
  {
    name: 'a stopped app is ready',
    file: 'src/service/health.ts',
    find: '!one.isAway && !isStopped(one)',
    replace: '!one.isAway',
  },
  {
    name: 'nothing is counted while Redis is down',
    file: 'src/http/limits/rate-limit.ts',
    find: 'return redis.count(counted, windowMs).catch(() => countHere(charges));',
    replace: 'return redis.count(counted, windowMs).catch(() => charges.map(() => ({ count: 0, endsInMs: 0 })));',
  },
  {
    name: "the dtype of a link's restore counts for ever",
    file: 'src/marketplace-kit/restore-dtype.ts',
    find: 'nowSeconds < install.untilSeconds',
    replace: 'true',
  },
  {
    name: 'an access token forgets its subject',
    file: 'src/oauth/authorization-server.ts',
    find: "seal('access', { subject, install }",
    replace: "seal('access', { install }",
  },
  {
    name: 'a refresh token works again',
    file: 'src/oauth/refresh-family.ts',
    find: 'if (await use(place, place.turn, nowSeconds, usedOnce)) return',
    replace: 'if ((await use(place, place.turn, nowSeconds, usedOnce)) || true) return',
  },
  {
    name: 'a version on hold is given while there are others',
    file: 'src/packages/catalogue.ts',
    find: 'if (!wanted || !held.includes(wanted.appleVersionId)) return wanted;',
    replace: 'return wanted;',
  },
  {
    name: 'restores do not follow holds',
    file: 'src/marketplace-kit/choose.ts',
    find: 'if (exact && !isHeld(rules, requested) && runsOn',
    replace: 'if (exact && runsOn',
  },
  {
    name: 'the version that an operator ordered is not used for links',
    file: 'src/packages/catalogue.ts',
    find: 'const wanted = ordered ?? current',
    replace: 'const wanted = current',
  },
  {
    name: 'audit lines that could not be written are dropped',
    file: 'src/audit/audit.ts',
    find: '        await sink.write(batch);\n        waiting = waiting.slice(batch.length);',
    replace: '        waiting = waiting.slice(batch.length);\n        await sink.write(batch);',
  },
  {
    name: 'an incomplete audit line is not ended',
    file: 'src/audit/file.ts',
    find: "=== '\\n' ? '' : '\\n') + text",
    replace: "=== '\\n' ? '' : '') + text",
  },
  {
    name: 'a signature from Vault is not verified',
    file: 'src/signer/guarded.ts',
    find: 'if (!isSignatureOf(signer.publicKey, data, signature))',
    replace: 'if (false)',
  },
  {
    name: 'the newest version of a key in Vault signs, not the registered one',
    file: 'src/signer/vault-transit.ts',
    find: 'versions.find(same) ?? numbered(key.latest_version)',
    replace: 'numbered(key.latest_version)',
  },
];
