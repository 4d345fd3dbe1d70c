/** The audit files of the replicas, read from outside. */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openVerification, parseLine } from '../../src/audit/verify.ts';
import type { Fleet, Replica } from './fleet.ts';
import { examine } from './invariants.ts';
import { diskTroubledAt } from './world/disk.ts';
import { lastSkippedAt, trueTime } from './world/scheduler.ts';

export const auditFile = ({ folder }: Pick<Replica, 'folder'>): string => join(folder, 'audit.log');

/** A line is written within this time while the disk is good. */
const WAIT_MS = 3000;

/**
 * Compares the tokens of a replica's process with its audit file. To be called when the process ends, and at the end of the
 * run. A process that is killed may take its last lines with it.
 */
export function auditTokens(fleet: Fleet, replica: Replica): void {
  const { unaudited } = fleet.facts;
  const path = auditFile(replica);
  if (!fleet.choices.audits || !existsSync(path)) return;
  const verification = openVerification();
  for (const text of readFileSync(path, 'utf8').split('\n')) {
    const line = parseLine(text);
    if (!line) continue;
    verification.add(line);
    if (line.nonce !== undefined) unaudited.delete(line.nonce);
  }
  const mine = [...unaudited].filter(([, token]) => token.replica === replica.name);
  for (const [nonce] of mine) unaudited.delete(nonce);
  const sharing = fleet.replicas.filter(({ folder }) => folder === replica.folder);
  const troubledAt = Math.max(
    lastSkippedAt(),
    replica.machine?.isSuspended ? trueTime() : (replica.machine?.resumedAt ?? 0),
    ...sharing.map(({ name }) => diskTroubledAt(name)),
  );
  const isLate = trueTime() - troubledAt > WAIT_MS;
  examine(fleet, 'onAudit', {
    replica: replica.name,
    missing: isLate ? mine.filter(([, { sentAt }]) => sentAt < trueTime() - WAIT_MS).map(([nonce]) => nonce) : [],
    problems: verification.reports().flatMap(({ problems }) => problems),
  });
}
