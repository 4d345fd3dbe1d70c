/** What must hold whatever goes wrong. Each is checked whenever something happens that could break it. */

import type { AppleRequest } from './apple.ts';
import { calmMs, storeCalmMs, type Token } from './facts.ts';
import { type Fleet, postgresTables } from './fleet.ts';
import { trueTime } from './world/scheduler.ts';

/** An answer of a replica, before the network. */
type Answer = {
  readonly replica: string;
  readonly route: string;
  readonly status: number;
  readonly code: string | undefined;
};

/** Each check returns what is wrong; undefined if the invariant holds. */
type Invariant = {
  readonly name: string;
  /** One sentence, for docs/simulation.md. */
  readonly promise: string;
  readonly onToken?: (fleet: Fleet, token: Token) => string | undefined;
  readonly onAnswer?: (fleet: Fleet, answer: Answer) => string | undefined;
  readonly onApple?: (fleet: Fleet, request: AppleRequest) => string | undefined;
  /** After every event. */
  readonly always?: (fleet: Fleet) => string | undefined;
  /** When all faults have ended, and the stated time has passed. */
  readonly atTheEnd?: (fleet: Fleet) => string | undefined;
};

const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;

/** How long a change at Apple may go unnoticed: the longest pause between two checks, and a few seconds for them. */
export const gapMs = ({ choices }: Fleet): number => choices.checkSeconds * 1000 * 1.2 + 40_000;

/** By how much the times of two replicas may differ, for the rule of `dtype`; 0 while every clock is right. */
const slackMs = ({ facts }: Fleet) => (facts.largestOffsetMs === 0 ? 0 : 2 * facts.largestOffsetMs + 5000);

const second = (ms: number) => Math.floor(ms / 1000) * 1000;

const ORDER_MS = 3000;

export const invariants: readonly Invariant[] = [
  {
    name: 'registered key',
    promise:
      'A token is signed under a key that is registered at Apple, except within one interval of checks after a person removed it, or while Apple or the store cannot be reached.',
    onToken(fleet, { keyId, sentAt }) {
      const known = fleet.apple.history.get(keyId);
      if (!known) return `the key id ${keyId} was never registered`;
      if (known.until === undefined) return undefined;
      const { facts } = fleet;
      const wasFollowed = storeCalmMs(facts, facts.rotatedAt) > 10_000 && storeCalmMs(facts, sentAt) > 0;
      const wasClean = known.removedBy.startsWith('operator') && wasFollowed;
      const lateMs = sentAt - Math.max(known.until, facts.faults.size > 0 ? trueTime() : facts.troubledAt);
      if (wasClean && sentAt > known.until)
        return `the rotation had removed its key ${seconds(sentAt - known.until)} before`;
      return lateMs > gapMs(fleet) ? `${known.removedBy} had removed its key ${seconds(lateMs)} before` : undefined;
    },
  },
  {
    name: 'redownload after evidence',
    promise: 'A device whose install was acknowledged gets `redownload` once a token lifetime has passed, for ever.',
    onToken(fleet, { device, dtype, receivedAt }) {
      const stored = device?.evidenceStoredAt;
      if (stored === undefined || dtype === 'redownload') return undefined;
      const lateMs = second(receivedAt) - second(stored) - fleet.choices.lifetimeSeconds * 1000 - slackMs(fleet);
      return lateMs >= 0
        ? `${device?.id} got "${dtype}" ${seconds(receivedAt - stored)} after its evidence was stored`
        : undefined;
    },
  },
  {
    name: 'download before evidence',
    promise:
      'A device that sent no evidence gets `download`, unless the ledger cannot answer and tokens are issued without it.',
    onToken(fleet, { device, dtype, receivedAt }) {
      if (!device || dtype === 'download') return undefined;
      const sent = device.evidenceSentAt;
      const { lifetimeSeconds } = fleet.choices;
      const isEarly = sent === undefined || receivedAt < sent + (lifetimeSeconds - 2) * 1000 - slackMs(fleet);
      const isLedgerKnown = fleet.choices.whenDown === 'refuse' || calmMs(fleet.facts, receivedAt) > 15_000;
      return isEarly && isLedgerKnown ? `${device.id} got "${dtype}" although its install does not count` : undefined;
    },
  },
  {
    name: 'evidence is kept',
    promise: 'Evidence that was acknowledged is in the ledger, whatever fails afterwards.',
    atTheEnd(fleet) {
      const tables = postgresTables(fleet);
      if (!tables) return undefined;
      const stored = [...fleet.facts.devices.values()].filter((device) => device.evidenceStoredAt !== undefined).length;
      return tables.installs.size < stored
        ? `${stored} devices were acknowledged; ${tables.installs.size} are stored`
        : undefined;
    },
  },
  {
    name: 'unique nonces',
    promise: 'No nonce is used twice.',
    onToken({ facts }, { nonce }) {
      if (facts.nonces.has(nonce)) return `the nonce ${nonce} was used before`;
      facts.nonces.add(nonce);
      return undefined;
    },
  },
  {
    name: 'nothing is removed',
    promise: 'webdist removes a key only in a rotation that an operator ordered, and never a domain.',
    onApple({ facts }, { method, path, from }) {
      if (method !== 'DELETE' || (path.includes('Keys') && facts.rotations > 0)) return undefined;
      return `${from} sent DELETE ${path}`;
    },
  },
  {
    name: 'one key',
    promise: 'However many replicas start, and however often, one key is created at Apple, and never again.',
    onApple({ facts }, { method, path, status }) {
      if (method !== 'POST' || !path.includes('Keys') || status !== 201 || facts.rotations > 0) return undefined;
      facts.keysCreated += 1;
      return facts.keysCreated > 1 ? `it is the key number ${facts.keysCreated}` : undefined;
    },
  },
  {
    name: 'documented answers',
    promise: 'Every answer has a status and a code of docs/http-api.md; none is an internal error.',
    onAnswer(_, { route, status, code }) {
      const allowed = documented[route]?.[status];
      return allowed?.includes(code) ? undefined : `${route} answered ${status} ${code}`;
    },
  },
  {
    name: 'rate limit',
    promise:
      'No visitor gets more tokens a minute than the limit, counted in fixed windows; without Redis, each replica counts for itself.',
    onToken(fleet, { device, sentAt }) {
      if (!device) return undefined;
      const { rateLimit, usesRedis } = fleet.choices;
      const times = device.tokenTimes;
      times.push(sentAt);
      while ((times[0] ?? sentAt) <= sentAt - 60_000) times.shift();
      const counters = usesRedis && calmMs(fleet.facts) > 70_000 ? 1 : fleet.replicas.length + 1;
      const most = 2 * rateLimit * counters;
      return times.length > most
        ? `${device.id} got ${times.length} tokens within a minute; the limit is ${rateLimit}`
        : undefined;
    },
  },
  {
    name: 'stop orders',
    promise:
      'Within three seconds after `keys stop`, no replica issues a token, once the network is well; a replica that has followed the order never forgets it.',
    onToken(fleet, { replica, sentAt, receivedAt }) {
      const { stop, followed } = fleet.facts;
      if (!stop.isStopped) return undefined;
      const lateMs = Math.min(receivedAt - stop.since, storeCalmMs(fleet.facts, receivedAt));
      if (lateMs > ORDER_MS) return `${replica} signed ${seconds(sentAt - stop.since)} after the order to stop`;
      if (followed.get(replica) === stop.revision) return `${replica} had followed the order to stop before`;
      return undefined;
    },
  },
  {
    name: 'dated by a good clock',
    promise:
      'A token is never dated more than a few seconds ahead of Apple’s clock once a check has shown the difference, and lives as long as it says.',
    onToken(fleet, { iat, exp, sentAt }) {
      if (exp - iat !== fleet.choices.lifetimeSeconds) return `it lives for ${exp - iat} s`;
      const aheadMs = iat * 1000 - sentAt;
      return aheadMs > 3000 && calmMs(fleet.facts) > gapMs(fleet)
        ? `it is dated ${seconds(aheadMs)} in the future`
        : undefined;
    },
  },
  {
    name: 'budget',
    promise: 'In calm times the replicas together make no more requests to Apple than one replica’s checks need.',
    onApple(fleet, { from }) {
      const { appleTimes } = fleet.facts;
      if (from.startsWith('operator')) return undefined;
      const now = trueTime();
      appleTimes.push(now);
      while ((appleTimes[0] ?? now) <= now - 60_000) appleTimes.shift();
      if (calmMs(fleet.facts) < gapMs(fleet) + 60_000 || fleet.facts.rotations > 0) return undefined;
      const most = 6 * (60 / (0.8 * fleet.choices.checkSeconds) + 2);
      return appleTimes.length > most ? `${appleTimes.length} requests within a minute` : undefined;
    },
  },
  {
    name: 'starts',
    promise: 'A replica fails to start only during a fault.',
    always({ facts }) {
      const failed = facts.failedStarts.pop();
      if (!failed) return undefined;
      return calmMs(facts) > 5000 ? `${failed.replica} could not start: ${failed.error.message}` : undefined;
    },
  },
  {
    name: 'liveness',
    promise: 'When all faults have ended, every replica is ready within one interval of checks and 40 seconds.',
    atTheEnd({ replicas }) {
      const late = replicas.find(({ state, service }) => state !== 'up' || !service?.health().ready);
      if (!late) return undefined;
      return `${late.name} is ${late.state}: ${JSON.stringify(late.service?.health() ?? {})}`;
    },
  },
];

const unavailable = [
  'not_registered',
  'clock_off',
  'signer_unavailable',
  'ledger_unavailable',
  'overloaded',
  'shutting_down',
];

/** The documented codes by route and status; undefined: no problem document. */
const documented: Readonly<Record<string, Readonly<Record<number, readonly (string | undefined)[]>>>> = {
  'POST /install-token': { 200: [undefined], 429: ['rate_limited'], 503: unavailable },
  'POST /installs': { 204: [undefined], 429: ['rate_limited'], 503: unavailable },
  'GET /health/ready': { 200: [undefined], 503: [undefined] },
  probe: { 200: ['ready'], 503: unavailable },
};

type Kind = 'onToken' | 'onAnswer' | 'onApple';
type Subject<K extends Kind> = Parameters<NonNullable<Invariant[K]>>[1];

/** Checks the invariants that concern what just happened. The first one that does not hold ends the run. */
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
