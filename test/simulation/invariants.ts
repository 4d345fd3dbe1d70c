/** The invariants, which must hold whatever goes wrong. Each is checked after every event that could break it. */

import type { Fleet } from './fleet.ts';
import { appleInvariants } from './invariants/apple.ts';
import { deviceInvariants } from './invariants/devices.ts';
import type { Invariant } from './invariants/invariant.ts';
import { operationInvariants } from './invariants/operation.ts';
import { tokensInvariants } from './invariants/tokens.ts';

export const invariants: readonly Invariant[] = [
  ...tokensInvariants,
  ...deviceInvariants,
  ...appleInvariants,
  ...operationInvariants,
];

type Kind = 'onToken' | 'onAnswer' | 'onOrder' | 'onGrant' | 'onAudit' | 'onApple';
type Subject<K extends Kind> = Parameters<NonNullable<Invariant[K]>>[1];

/** Checks the invariants that concern this event. The first one that does not hold ends the run. */
export function examine<K extends Kind>(fleet: Fleet, kind: K, what: Subject<K>): void {
  for (const invariant of invariants) {
    const check = invariant[kind] as ((fleet: Fleet, what: Subject<K>) => string | undefined) | undefined;
    report(fleet, invariant, check?.(fleet, what));
  }
}

export function examineAll(fleet: Fleet, when: 'always' | 'atTheEnd'): void {
  for (const invariant of invariants) report(fleet, invariant, invariant[when]?.(fleet));
}

function report({ facts, note }: Fleet, { name }: Invariant, detail: string | undefined): void {
  if (detail === undefined || facts.violation) return;
  facts.violation = { invariant: name, detail };
  note('VIOLATION', `${name}: ${detail}`);
}
