/** The form of an invariant, and what several of them need. */

import type { Orders } from '../../../src/orders/orders.ts';
import type { AppleRequest } from '../apple.ts';
import type { Device, Token } from '../facts.ts';
import type { Fleet } from '../fleet.ts';

/** An answer of a replica, before the network. */
type Answer = {
  readonly replica: string;
  readonly route: string;
  readonly status: number;
  readonly code: string | undefined;
};

/** A replica granted or refused an access token. */
type GrantRequest = {
  readonly grant: 'link' | 'refresh';
  /** The token that was sent. */
  readonly token: string;
  readonly device: Device;
  readonly process: string;
  readonly isGranted: boolean;
  readonly receivedAt: number;
};

/** The content of an audit file when a process ends. */
type AuditReport = {
  readonly replica: string;
  /** The nonces of tokens that it should have. */
  readonly missing: readonly string[];
  /** What is wrong with its chains. */
  readonly problems: readonly string[];
};

/** Each check returns what is wrong; undefined if the invariant holds. */
export type Invariant = {
  readonly name: string;
  /** One sentence, for docs/simulation.md. */
  readonly promise: string;
  readonly onToken?: (fleet: Fleet, token: Token) => string | undefined;
  readonly onAnswer?: (fleet: Fleet, answer: Answer) => string | undefined;
  /** An operator's order was acknowledged; these are the orders after it. */
  readonly onOrder?: (fleet: Fleet, orders: Orders) => string | undefined;
  readonly onGrant?: (fleet: Fleet, request: GrantRequest) => string | undefined;
  readonly onAudit?: (fleet: Fleet, report: AuditReport) => string | undefined;
  readonly onApple?: (fleet: Fleet, request: AppleRequest) => string | undefined;
  /** After every event. */
  readonly always?: (fleet: Fleet) => string | undefined;
  /** Checked when all faults have ended and the stated time has passed. */
  readonly atTheEnd?: (fleet: Fleet) => string | undefined;
};

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

/**
 * How long a change at Apple may go unnoticed: the longest pause between two checks, a few seconds for them, and another pause
 * if the hourly limit may be used up.
 */
export const gapMs = ({ choices }: Fleet): number =>
  choices.checkSeconds * 1000 * 1.2 + 40_000 + (choices.requestsPerHour < 3500 ? 60_000 : 0);

/** The largest difference between the times by which two replicas decide `dtype`; 0 while every clock is right. */
export const slackMs = ({ facts }: Fleet): number =>
  facts.largestOffsetMs === 0 ? 0 : 2 * facts.largestOffsetMs + 5000;
