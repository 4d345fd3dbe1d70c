/** The promises to operators. */

import { calmMs, storeCalmMs } from '../facts.ts';
import { postgresTables } from '../fleet.ts';
import { diskTroubledAt } from '../world/disk.ts';
import { trueTime } from '../world/scheduler.ts';
import { type Invariant, seconds } from './invariant.ts';

const ORDER_MS = 3000;

/** How long a replica waits for an answer that was lost, while it opens a database, and until it reads again. */
const LOST_MS = 3000;

/** The longest time until a replica reads the packages folder again, and a few seconds for that. */
const FOLDER_MS = 65_000;

const unavailable = [
  'not_registered',
  'clock_off',
  'signer_unavailable',
  'ledger_unavailable',
  'overloaded',
  'shutting_down',
  'version_held',
];

/** The documented codes by route and status; undefined: no problem document. */
const documented: Readonly<Record<string, Readonly<Record<number, readonly (string | undefined)[]>>>> = {
  'POST /install-token': { 200: [undefined], 429: ['rate_limited'], 503: unavailable },
  'POST /installs': { 204: [undefined], 429: ['rate_limited'], 503: unavailable },
  'POST /oauth/token': { 200: [undefined], 400: [undefined], 429: ['rate_limited'], 503: unavailable },
  'POST /marketplace-kit/restore': { 200: [undefined], 429: ['rate_limited'], 503: unavailable },
  'POST /marketplace-kit/updates': { 200: [undefined], 429: ['rate_limited'], 503: unavailable },
  'GET /health/ready': { 200: [undefined], 503: [undefined] },
  probe: { 200: ['ready'], 503: unavailable },
};

export const operationInvariants: readonly Invariant[] = [
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
    name: 'no other evidence',
    promise: 'The ledger has an install only of a device that sent evidence of its own.',
    atTheEnd(fleet) {
      const tables = postgresTables(fleet);
      const sent = [...fleet.facts.devices.values()].filter((device) => device.evidenceSentAt !== undefined).length;
      return tables && tables.installs.size > sent
        ? `${sent} devices sent evidence; ${tables.installs.size} are stored`
        : undefined;
    },
  },
  {
    name: 'orders are followed',
    promise:
      'Within three seconds after `keys stop` or `packages hold`, no replica issues a token against it, once the network was well for three seconds; a replica that has followed the order never forgets it.',
    onToken(fleet, { replica, vid, sentAt, receivedAt }) {
      const { orders, followed } = fleet.facts;
      for (const order of ['stop', `hold ${vid}`]) {
        const since = orders.since.get(order);
        if (since === undefined) continue;
        const lateMs = Math.min(receivedAt - since, storeCalmMs(fleet.facts, receivedAt, replica) - LOST_MS);
        if (lateMs > ORDER_MS) return `${replica} signed ${seconds(sentAt - since)} after the order ${order}`;
        if (followed.get(replica) === orders.revision) return `${replica} had followed the order ${order} before`;
      }
      return undefined;
    },
  },
  {
    name: 'the ordered version',
    promise:
      'Three seconds after `packages use`, links are of that version, once the network was well for three seconds.',
    onToken(fleet, { request, vid, replica, receivedAt }) {
      const { orders } = fleet.facts;
      const order = [...orders.since.keys()].find((text) => text.startsWith('use '));
      if (order === undefined || request !== 'visit' || vid === undefined) return undefined;
      if (orders.since.has(order.replace('use', 'hold'))) return undefined;
      const lateMs = Math.min(receivedAt - orders.changedAt, storeCalmMs(fleet.facts, receivedAt, replica) - LOST_MS);
      return lateMs > ORDER_MS && order !== `use ${vid}`
        ? `${replica} gave version ${vid} ${seconds(lateMs)} after the order ${order}`
        : undefined;
    },
  },
  {
    name: 'a version is left',
    promise: 'While one of the first versions is not on hold, no request is refused because of a hold.',
    onAnswer({ facts, packages, replicas }, { replica, code }) {
      const knownMs = Math.min(trueTime() - facts.orders.changedAt, storeCalmMs(facts, trueTime(), replica) - LOST_MS);
      if (code !== 'version_held' || knownMs < ORDER_MS) return undefined;
      const isRead = replicas.every(({ name }) => trueTime() - diskTroubledAt(name) > FOLDER_MS);
      const free = packages.first.find((id) => !facts.orders.since.has(`hold ${id}`));
      return isRead && free ? `${replica} refuses, but version ${free} is not on hold` : undefined;
    },
  },
  {
    name: 'every token is recorded',
    promise:
      'The audit file has a line for every token within three seconds of good disks, and its chains are whole; a process that is killed loses no older line.',
    onAudit(_, { replica, missing, problems }) {
      if (missing[0] !== undefined) return `${replica} did not record ${missing.length} tokens, such as ${missing[0]}`;
      return problems[0] && `in the audit file of ${replica}, ${problems[0]}`;
    },
  },
  {
    name: 'orders in turn',
    promise: 'Orders are given one after another: of two at once, none undoes the other unseen.',
    onOrder({ facts }, orders) {
      const text = JSON.stringify(orders);
      const other = facts.acknowledgedOrders.get(orders.revision) ?? text;
      facts.acknowledgedOrders.set(orders.revision, text);
      return other === text ? undefined : `revision ${orders.revision} was acknowledged as ${other} and as ${text}`;
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
