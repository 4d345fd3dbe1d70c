/**
 * Checks everything that an install depends on, each thing once, and reports what was found, why it matters and how to fix
 * it (docs/doctor.md). Changes nothing at Apple.
 */

import { isWebdistError } from '../errors.ts';
import { addressChecks } from './address-checks.ts';
import { appleChecks } from './apple-checks.ts';
import type { Check, Finding } from './check.ts';
import { cookieChecks } from './cookie-checks.ts';
import { deviceChecks } from './device-checks.ts';
import { type DoctorOptions, type Facts, openFacts } from './facts.ts';
import { keyChecks } from './key-checks.ts';
import { kitChecks } from './kit-checks.ts';
import { licenceChecks } from './licence-checks.ts';
import { packageChecks } from './package-checks.ts';
import { pageChecks } from './page-checks.ts';
import { proxyChecks } from './proxy-checks.ts';
import { publicChecks } from './public-checks.ts';
import { registrationChecks } from './registration-checks.ts';
import { resourceChecks } from './resource-checks.ts';
import { serviceChecks } from './service-checks.ts';
import { settingsChecks } from './settings-checks.ts';
import { startChecks } from './start-checks.ts';
import { stateChecks } from './state-checks.ts';

/** Every check, in the order of the report. */
export const checks: readonly Check[] = [
  ...settingsChecks,
  ...keyChecks,
  ...appleChecks,
  ...registrationChecks,
  ...startChecks,
  ...stateChecks,
  ...resourceChecks,
  ...packageChecks,
  ...licenceChecks,
  ...deviceChecks,
  ...publicChecks,
  ...addressChecks,
  ...serviceChecks,
  ...proxyChecks,
  ...kitChecks,
  ...pageChecks,
  ...cookieChecks,
];

/** One line of the report. */
export type Diagnosis = Finding & Pick<Check, 'id' | 'section' | 'why'>;

/** Runs every check. Never throws: a check that throws is reported as failed. */
export async function runDoctor(options: DoctorOptions): Promise<readonly Diagnosis[]> {
  const facts = openFacts(options);
  const report: Diagnosis[] = [];
  try {
    for (const check of checks) {
      const finding = await runCheck(check, facts);
      if (finding) report.push({ id: check.id, section: check.section, why: check.why, ...finding });
    }
    return report;
  } finally {
    await facts.close();
  }
}

/** Runs one check. Never throws. */
export async function runCheck(check: Check, facts: Facts): Promise<Finding | undefined> {
  try {
    return await check.run(facts);
  } catch (error) {
    // The messages of libraries' errors can contain secrets; their names do not.
    const why = isWebdistError(error) ? error.message : error instanceof Error ? error.name : 'unknown error';
    return {
      result: 'fail',
      found: `could not be checked: ${why}`,
      hint: 'Report this as a bug, with the id of the check.',
    };
  }
}
