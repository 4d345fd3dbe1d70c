/**
 * Checks everything an install depends on, each thing once, and says what was found, why it matters and how to fix it
 * (docs/doctor.md). Changes nothing at Apple.
 */

import type { Environment } from '../environment.ts';
import { isWebdistError } from '../errors.ts';
import { appleChecks } from './apple-checks.ts';
import type { Check, Finding } from './check.ts';
import { type Evidence, openEvidence } from './facts.ts';
import { keyChecks } from './key-checks.ts';
import { licenceChecks } from './licence-checks.ts';
import { packageChecks } from './package-checks.ts';
import { publicChecks } from './public-checks.ts';
import { registrationChecks } from './registration-checks.ts';
import { serviceChecks } from './service-checks.ts';
import { settingsChecks } from './settings-checks.ts';
import { stateChecks } from './state-checks.ts';

/** Every check, in the order of the report. */
export const checks: readonly Check[] = [
  ...settingsChecks,
  ...keyChecks,
  ...appleChecks,
  ...registrationChecks,
  ...stateChecks,
  ...packageChecks,
  ...licenceChecks,
  ...publicChecks,
  ...serviceChecks,
];

/** One line of the report. */
export type Diagnosis = Finding & Pick<Check, 'id' | 'section' | 'why'>;

export type DoctorOptions = {
  readonly env: Environment;
  /** The page with the install link, for the public side. */
  readonly publicUrl?: URL | undefined;
  /** Where webdist is reached from outside, if not at the page's origin. */
  readonly serviceUrl?: URL | undefined;
  /** `host:port` to connect to for the website's names instead of what they resolve to, as curl's --connect-to. */
  readonly connect?: string | undefined;
};

/** Runs every check. A check that breaks is a failure of its own; nothing is thrown. */
export async function runDoctor(options: DoctorOptions): Promise<readonly Diagnosis[]> {
  const evidence = openEvidence(options);
  const found: Diagnosis[] = [];
  try {
    for (const check of checks) {
      const finding = await looked(check, evidence);
      if (finding) found.push({ id: check.id, section: check.section, why: check.why, ...finding });
    }
    return found;
  } finally {
    await evidence.close();
  }
}

async function looked(check: Check, evidence: Evidence): Promise<Finding | undefined> {
  try {
    return await check.look(evidence);
  } catch (error) {
    const why = error instanceof Error && !isWebdistError(error) ? error.name : String((error as Error).message);
    return { result: 'fail', found: `could not be checked: ${why}`, hint: 'Report this with the id of the check.' };
  }
}
