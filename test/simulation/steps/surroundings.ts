/** What happens around the replicas: the network, Apple, and the databases. */

import { EVERY_REPLICA } from '../facts.ts';
import { DOMAIN, locatorsOf } from '../fleet.ts';
import { type LinkFault, setLinkFault } from '../world/network.ts';
import { failOver, postgres } from '../world/postgres.ts';
import { between, oneOf } from '../world/random.ts';
import { loseRedis } from '../world/redis.ts';
import { skip, trueTime } from '../world/scheduler.ts';
import { rotateInVault, setVaultFault, type VaultFault } from '../world/vault.ts';
import { durationMs, forAWhile, ignore, inSeconds, type Rows } from './step.ts';

const appleFaults = {
  'an outage (503)': { status: 503 },
  'an HTML page (502)': { status: 502, html: true },
  'an internal error (500)': { status: 500 },
  'a limit for a moment (429)': { status: 429, retryAfterSeconds: 3 },
  'the hourly limit (429)': { status: 429 },
  'a refused credential (401)': { status: 401 },
  'a missing role (403)': { status: 403 },
  'an expired agreement (403)': { status: 403, code: 'FORBIDDEN.REQUIRED_AGREEMENTS_MISSING_OR_EXPIRED' },
  'nothing found (404)': { status: 404, path: '/v1/apps' },
  'dropped connections': { drop: true },
  'dropped answers': { drop: 'after' },
  'dropped answers of writes': { drop: 'after', method: 'POST' },
  'slow answers (8 s)': { latencyMs: 8000 },
  'answers that are a little slow (2 s)': { latencyMs: 2000 },
  'hanging answers (40 s)': { latencyMs: 40_000 },
  'one late answer (8 s)': { latencyMs: 8000, times: 1 },
  'a clock 45 s behind': { clockSkewSeconds: -45 },
  'a clock 20 s ahead': { clockSkewSeconds: 20 },
} as const;

const linkFaults: Readonly<Record<string, LinkFault>> = {
  'loses half of the messages': { loss: 0.5 },
  'loses a tenth of the messages': { loss: 0.1 },
  'is slow (150 ms)': { delayMs: 150 },
  'is very slow (2 s)': { delayMs: 2000 },
  'is extremely slow (4 s)': { delayMs: 4000 },
  'delivers requests twice': { twice: 0.5 },
  'is cut': { isCut: true },
};

const postgresFaults: Readonly<Record<string, () => () => void>> = {
  'fails over': () => {
    failOver(true);
    return () => failOver(false);
  },
  'commits and loses the answers': () => {
    postgres.losesAnswers = true;
    return () => {
      postgres.losesAnswers = false;
    };
  },
  'is slow (120 ms)': () => slow(120),
  'is too slow (400 ms)': () => slow(400),
  'has a full disk': () => {
    postgres.isFull = true;
    return () => {
      postgres.isFull = false;
    };
  },
};

function slow(ms: number) {
  postgres.serviceMs = ms;
  return () => {
    postgres.serviceMs = 0;
  };
}

export const surroundingSteps: Rows = {
  network: {
    weight: 5,
    isFault: true,
    plan: (random) => ({
      fault: oneOf(random, Object.keys(linkFaults)),
      from: oneOf(random, ['', '', 'replica 1', 'replica 2', 'replica 3']),
      to: oneOf(random, ['Apple', 'PostgreSQL', 'PostgreSQL', 'Redis', 'Vault', 'replica 1', 'replica 2', 'replica 3']),
      ms: durationMs(random),
    }),
    describe: ({ fault, from, to, ms }) =>
      `the link ${from ? `from ${from} ` : ''}to ${to} ${fault} for ${inSeconds(ms)}`,
    run(fleet, params) {
      const { from, to, fault } = params;
      const link = from ? `${from} to ${to}` : String(to);
      setLinkFault(link, linkFaults[String(fault)]);
      const isOfStore = to !== 'Apple' && !String(to).startsWith('replica');
      const storesOf = isOfStore ? String(from || EVERY_REPLICA) : undefined;
      forAWhile(fleet, params, () => () => setLinkFault(link, undefined), storesOf);
    },
  },
  Apple: {
    weight: 5,
    isFault: true,
    plan: (random) => ({ fault: oneOf(random, Object.keys(appleFaults)), ms: durationMs(random) }),
    describe: ({ fault, ms }) => `Apple answers with ${fault} for ${inSeconds(ms)}`,
    run(fleet, params) {
      const fault = appleFaults[params['fault'] as keyof typeof appleFaults];
      fleet.apple.faults.add(fault);
      if ('clockSkewSeconds' in fault)
        fleet.facts.largestOffsetMs = Math.max(fleet.facts.largestOffsetMs, Math.abs(fault.clockSkewSeconds) * 1000);
      forAWhile(fleet, params, () => () => fleet.apple.faults.clear());
    },
  },
  'key removed': {
    weight: 0.5,
    isFault: true,
    plan: (random) => ({ ms: 1000 * between(random, 10, 200) }),
    describe: ({ ms }) => `a person removes the key at Apple, and registers it again after ${inSeconds(ms)}`,
    run(fleet, params) {
      const removed = fleet.apple.keys[0];
      if (!removed) return;
      fleet.apple.change((account) => {
        account.keys = [];
      });
      forAWhile(fleet, params, () => () => {
        if (fleet.apple.keys.length > 0) return;
        fleet.apple.change((account) => {
          account.keys.push({ ...removed, id: `${removed.id.slice(0, -4)}${String(trueTime()).slice(-4)}` });
        });
      });
    },
  },
  'domain removed': {
    weight: 0.5,
    isFault: true,
    plan: (random) => ({ ms: durationMs(random) }),
    describe: ({ ms }) => `a person removes the domain at Apple, and registers it again after ${inSeconds(ms)}`,
    run(fleet, params) {
      const removed = fleet.apple.domains.find(({ domain }) => domain === DOMAIN);
      if (!removed) return;
      fleet.apple.change((account) => {
        account.domains = [];
      });
      forAWhile(fleet, params, () => () => {
        if (fleet.apple.domains.length === 0) fleet.apple.change((account) => void account.domains.push(removed));
      });
    },
  },
  PostgreSQL: {
    weight: 4,
    isFault: true,
    plan: (random) => ({ fault: oneOf(random, Object.keys(postgresFaults)), ms: durationMs(random) }),
    describe: ({ fault, ms }) => `PostgreSQL ${fault} for ${inSeconds(ms)}`,
    run: (fleet, params) =>
      forAWhile(fleet, params, postgresFaults[String(params['fault'])] ?? (() => ignore), EVERY_REPLICA),
  },
  Vault: {
    weight: 2,
    isFault: true,
    plan: (random) => ({
      fault: oneOf<VaultFault>(random, ['sealed', 'throttling', 'slow', 'too slow', 'signing with another version']),
      ms: durationMs(random),
    }),
    describe: ({ fault, ms }) => `Vault is ${fault} for ${inSeconds(ms)}`,
    run(fleet, params) {
      setVaultFault(params['fault'] as VaultFault);
      forAWhile(fleet, params, () => () => setVaultFault(undefined), EVERY_REPLICA);
    },
  },
  'rotation in Vault': {
    weight: 1,
    plan: (random) => ({ number: between(random, 0, 2) }),
    describe: ({ number }) => `someone rotates key ${number} in Vault, and webdist does not know`,
    run: ({ choices }, { number }) => rotateInVault(new URL(locatorsOf(choices)[Number(number)] ?? '').host),
  },
  Redis: {
    weight: 2,
    isFault: true,
    plan: (random) => ({ ms: durationMs(random) }),
    describe: ({ ms }) => `Redis is down for ${inSeconds(ms)}, and comes back without its data`,
    run: (fleet, params) => forAWhile(fleet, params, loseRedis),
  },
  winter: {
    weight: 0.5,
    isFault: true,
    plan: (random) => ({ days: between(random, 30, 400) }),
    describe: ({ days }) => `everything is suspended for ${days} days; then the devices return`,
    run(fleet, { days }) {
      skip(Number(days) * 86_400_000);
      // Messages that were in transit before arrive months late.
      forAWhile(fleet, { ms: 1 }, () => ignore, EVERY_REPLICA);
    },
  },
};
