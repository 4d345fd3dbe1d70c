/**
 * While the service runs, repeats the checks of things that can break independently of it: the website, the package, the
 * licence server. Sends nothing to Apple and signs nothing, because the service itself watches the registration and the
 * keys.
 */

import type { Logger } from 'pino';
import type { Metrics } from '../metrics.ts';
import type { Clock } from '../registration/clock.ts';
import { addressChecks } from './address-checks.ts';
import { type Check, type Finding, RESULTS } from './check.ts';
import { cookieChecks } from './cookie-checks.ts';
import { deviceChecks } from './device-checks.ts';
import { runCheck } from './doctor.ts';
import { type DoctorOptions, openFacts } from './facts.ts';
import { kitChecks } from './kit-checks.ts';
import { licenceChecks } from './licence-checks.ts';
import { packageChecks } from './package-checks.ts';
import { pageChecks } from './page-checks.ts';
import { proxyChecks } from './proxy-checks.ts';
import { publicChecks } from './public-checks.ts';
import { serviceChecks } from './service-checks.ts';
import { settingsChecks } from './settings-checks.ts';

/** `token-valid` reads the keys of the account at Apple, whose requests are limited. */
export const backgroundChecks: readonly Check[] = [
  ...settingsChecks.filter(({ id }) => id === 'sign-in'),
  ...packageChecks,
  ...licenceChecks,
  ...deviceChecks,
  ...publicChecks,
  ...addressChecks,
  ...serviceChecks.filter(({ id }) => id !== 'token-valid'),
  ...proxyChecks,
  // An unsigned event is a refused credential, which the audit log records.
  ...kitChecks.filter(({ id }) => id !== 'webhook'),
  ...pageChecks,
  ...cookieChecks,
];

/** The pause between two checks of a round, so that a round does not send all its requests at once. */
const PAUSE_MS = 500;

type BackgroundDeps = {
  readonly metrics: Pick<Metrics, 'doctorCheck'>;
  readonly log: Logger;
  readonly clock: Pick<Clock, 'after' | 'random'>;
};

/**
 * Runs a round of checks every `everyMs` ±20 %, the first one after a random part of that time, so that replicas do not
 * check together. Returns a function that stops this.
 */
export function startBackgroundDoctor(
  options: DoctorOptions,
  everyMs: number,
  { metrics, log, clock }: BackgroundDeps,
): () => void {
  const results = new Map<string, Finding['result']>();
  let cancel: (() => void) | undefined;
  let isClosed = false;
  const after = (ms: number) =>
    new Promise<void>((resolve) => {
      cancel = clock.after(ms, resolve);
    });

  const report = ({ id }: Check, finding: Finding | undefined) => {
    for (const result of RESULTS) metrics.doctorCheck.remove({ check: id, result });
    const before = results.get(id) ?? 'ok';
    results.delete(id);
    if (!finding) return;
    const { result, found, hint } = finding;
    results.set(id, result);
    metrics.doctorCheck.set({ check: id, result }, 1);
    if (result === before) return;
    const fields = { event: 'doctor_check', check: id, result, found, hint };
    if (result === 'warn' || result === 'fail') log.warn(fields, `${id}: ${found}`);
    else if (before === 'warn' || before === 'fail') log.info(fields, `${id}: ${found}`);
  };
  const round = async () => {
    const facts = openFacts({ ...options, withoutApple: true });
    try {
      for (const check of backgroundChecks) {
        const finding = await runCheck(check, facts);
        if (isClosed) return;
        report(check, finding);
        await after(PAUSE_MS);
      }
    } finally {
      await facts.close();
    }
  };
  const run = async () => {
    await after(clock.random() * everyMs);
    while (!isClosed) {
      await round();
      await after(everyMs * (0.8 + clock.random() * 0.4));
    }
  };
  run().catch((err) => log.error({ event: 'doctor_stopped', err }, 'the checks in the background have stopped'));
  return () => {
    isClosed = true;
    cancel?.();
  };
}
