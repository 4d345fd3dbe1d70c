/** The people and machines around the replicas: visitors with their devices, the licence server, operators. */

import { openAppStoreConnect } from '../../src/app-store-connect/client.ts';
import { readConfig } from '../../src/config/config.ts';
import { spki } from '../../src/jws.ts';
import { openLog } from '../../src/log.ts';
import type { Order } from '../../src/orders/orders.ts';
import { openOrderStore } from '../../src/orders/store.ts';
import { openCandidate } from '../../src/registration/candidates.ts';
import { systemClock } from '../../src/registration/clock.ts';
import { ensureAbandoned } from '../../src/registration/rotation/journal.ts';
import { isUnfinished } from '../../src/registration/rotation/notice.ts';
import { planChange } from '../../src/registration/rotation/plan.ts';
import { readByEveryReplica } from '../../src/registration/rotation/readers.ts';
import { rotate } from '../../src/registration/rotation/rotate.ts';
import { openRegistrationStore } from '../../src/registration/store.ts';
import { deviceOf, storeCalmMs } from './facts.ts';
import { API_KEY, DOMAIN, type Fleet, KEY_NAMES, type Replica } from './fleet.ts';
import { examine } from './invariants.ts';
import { newMachine } from './replica.ts';
import { request } from './world/network.ts';
import { schedule, trueTime, wait, within } from './world/scheduler.ts';

type Sent = {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly body?: object;
  readonly headers?: object;
};
type Answered = {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly cookie: string | undefined;
};

/** How long a browser or a server waits for an answer. */
const PATIENCE_MS = 10_000;

/** Sends a request to a replica. Returns undefined if there was no answer. `served` gets the answer before the network. */
async function send(
  fleet: Fleet,
  replica: Replica,
  sent: Sent,
  served: (answer: Answered, receivedAt: number) => void = () => undefined,
): Promise<Answered | undefined> {
  const answering = request({ name: replica.name, machine: replica.machine }, async () => {
    const { server } = replica;
    const receivedAt = trueTime();
    if (!server) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const { method, url, body, headers } = sent;
    const response = await server.app.inject({
      method,
      url,
      headers: { 'sec-fetch-site': 'same-origin', host: DOMAIN, ...headers },
      ...(body && { payload: body }),
    });
    const cookie = response.headers['set-cookie'];
    const answer: Answered = {
      status: response.statusCode,
      body: response.body === '' ? {} : response.json(),
      cookie: cookie === undefined ? undefined : String(cookie).split(';')[0],
    };
    fleet.facts.answers += 1;
    examine(fleet, 'onAnswer', {
      replica: replica.name,
      route: `${method} ${url}`,
      status: answer.status,
      code: answer.body['code'] as string | undefined,
    });
    served(answer, receivedAt);
    return answer;
  });
  const patience = wait(PATIENCE_MS, null).then(() => undefined);
  return Promise.race([answering.catch(() => undefined), patience]);
}

/** A device requests a token for the install button. Returns whether it got one. */
export async function visit(fleet: Fleet, replica: Replica, deviceId: string): Promise<boolean> {
  const { facts, note } = fleet;
  const device = deviceOf(facts, deviceId);
  const headers = device.cookie === undefined ? {} : { cookie: device.cookie };
  const sent: Sent = { method: 'POST', url: '/install-token', body: {}, headers };
  // A device that has no cookie yet is a new one for each request.
  const isKnown = device.cookie !== undefined;
  const answer = await send(fleet, replica, sent, ({ status, body }, receivedAt) => {
    if (status !== 200) return;
    facts.tokens += 1;
    const { token, dtype, keyId, nonce } = body as Record<string, string>;
    const claims = JSON.parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString());
    examine(fleet, 'onToken', {
      replica: replica.name,
      device: isKnown ? device : undefined,
      keyId: keyId ?? '',
      dtype: dtype ?? '',
      nonce: nonce ?? '',
      iat: claims.iat,
      exp: claims.exp,
      receivedAt,
      sentAt: trueTime(),
    });
  });
  note(deviceId, `requests a token from ${replica.name}: ${describe(answer)}`);
  if (answer?.status !== 200) return false;
  device.cookie ??= answer.cookie;
  device.nonce = String(answer.body['nonce']);
  device.tokenAt = trueTime();
  return true;
}

const describe = (answer: Answered | undefined) =>
  answer ? `${answer.status} ${answer.body['dtype'] ?? answer.body['code'] ?? ''}`.trim() : 'no answer';

/** The page reports a tap on the button, or the licence server confirms the install. */
export async function sendEvidence(fleet: Fleet, replica: Replica, deviceId: string, by: 'page' | 'licence server') {
  const { facts, note, choices } = fleet;
  const device = deviceOf(facts, deviceId);
  const { nonce, cookie, tokenAt } = device;
  if (nonce === undefined || cookie === undefined) return;
  const headers = by === 'page' ? { cookie } : { authorization: `Bearer ${API_KEY}` };
  const counts = by === 'licence server' || choices.evidence === 'tap';
  if (counts) device.evidenceSentAt ??= trueTime();
  const answer = await send(
    fleet,
    replica,
    { method: 'POST', url: '/installs', body: { nonce }, headers },
    ({ status }) => {
      // Later evidence is refused without a word, and around that time it depends on the replica's clock.
      const isInTime = trueTime() - tokenAt < 22 * 3_600_000;
      if (status === 204 && counts && isInTime) device.evidenceStoredAt ??= trueTime();
    },
  );
  note(by, `reports the install of ${deviceId} to ${replica.name}: ${answer?.status ?? 'no answer'}`);
}

/** The page of another device reports a nonce that was not issued to it, which must change nothing. */
export async function sendStolen(fleet: Fleet, replica: Replica, thiefId: string, ownerId: string): Promise<void> {
  const { nonce } = deviceOf(fleet.facts, ownerId);
  const { cookie } = deviceOf(fleet.facts, thiefId);
  if (nonce === undefined || cookie === undefined || thiefId === ownerId) return;
  const answer = await send(fleet, replica, { method: 'POST', url: '/installs', body: { nonce }, headers: { cookie } });
  fleet.note(thiefId, `reports the nonce of ${ownerId} to ${replica.name}: ${answer?.status ?? 'no answer'}`);
}

/** Compares what a replica says about itself with what it does. */
export async function probe(fleet: Fleet, replica: Replica): Promise<void> {
  const { service, machine } = replica;
  if (!service || !machine || machine.pausedUntil > trueTime()) return;
  const { app } = fleet.apple;
  await within(machine, async () => {
    const isReady = service.health().ready;
    const outcome = await service.issue({ app: configuredApp(fleet), caller: 'command', dtype: 'download' }).then(
      () => 'issued',
      (error) => String(error.code),
    );
    if (service.health().ready !== isReady) return;
    // A replica that cannot read how far a rotation got does not sign, for five seconds at most, and stays ready.
    if (fleet.facts.rotations > 0 || storeCalmMs(fleet.facts, trueTime()) < 8000) return;
    const agrees = isReady ? outcome === 'issued' : outcome !== 'issued';
    fleet.note(replica.name, `is ${isReady ? '' : 'not '}ready, and a token for ${app.bundleId} is ${outcome}`);
    examine(fleet, 'onAnswer', {
      replica: replica.name,
      route: 'probe',
      status: agrees ? 200 : 503,
      code: agrees ? 'ready' : `ready: ${isReady}, but ${outcome}`,
    });
  });
}

const configuredApp = (fleet: Fleet) => {
  const [app] = readConfig(fleet.env).apps;
  if (!app) throw new Error('No app is configured.');
  return app;
};

let commands = 0;
export const resetPeople = (): void => {
  commands = 0;
};

/** Runs the work of a command on the operator's machine. It is killed after `killedAfterMs`, if that is given. */
async function command(fleet: Fleet, name: string, killedAfterMs: number | undefined, work: () => Promise<string>) {
  const { note } = fleet;
  commands += 1;
  const machine = newMachine(fleet, `operator ${commands}`);
  note(machine.name, `runs ${name}`);
  if (killedAfterMs !== undefined)
    schedule(
      killedAfterMs,
      () => {
        if (!machine.isAlive) return;
        machine.isAlive = false;
        for (const end of [...machine.onKill]) end();
        note(machine.name, 'is killed');
      },
      null,
    );
  await within(machine, work).then(
    (result) => note(machine.name, `${name}: ${result}`),
    (error) => note(machine.name, `${name} fails: ${error.code ?? ''} ${error.message}`),
  );
  machine.isAlive = false;
}

/** `webdist keys stop` and `keys start`. */
export function order(fleet: Fleet, act: 'stop' | 'start', killedAfterMs?: number): Promise<void> {
  fleet.facts.areOrdersChanging = true;
  return command(fleet, `keys ${act}`, killedAfterMs, async () => {
    const store = await openOrderStore(readConfig(operatorEnv(fleet)));
    const given: Order = { act, appleItemId: fleet.apple.app.id };
    const { revision } = await store.change(given);
    await store.close();
    return `revision ${revision}`;
  });
}

/** `webdist keys rotate`, as src/cli/keys/rotate.ts does it. */
export async function rotateTo(
  fleet: Fleet,
  key: number,
  { killedAfterMs, ignoresSilent }: { readonly killedAfterMs?: number | undefined; readonly ignoresSilent: boolean },
): Promise<void> {
  const { facts } = fleet;
  facts.rotations += 1;
  facts.rotatedAt = trueTime();
  const ended = () => {
    facts.rotations -= 1;
  };
  if (killedAfterMs !== undefined) schedule(killedAfterMs + 1000, ended, null);
  await command(fleet, `keys rotate to key ${key}`, killedAfterMs, async () => {
    const env = operatorEnv(fleet);
    const config = readConfig(env);
    const log = openLog('silent');
    const store = await openRegistrationStore(config, log);
    const halves = await Promise.all(
      KEY_NAMES.map(async (name) => {
        const candidate = await openCandidate(`env://${name}`, { env, log });
        return candidate.signer ? spki(candidate.signer.publicKey) : '';
      }),
    );
    const { appStoreConnect, apps } = config;
    const [app] = apps;
    if (!appStoreConnect || !app) throw new Error('There is no API key.');
    const reports = await openOrderStore(config);
    const readByAll = async (run: string) => {
      if (!ignoresSilent) await readByEveryReplica(run, { replicas: reports.replicas, clock: systemClock });
    };
    const apiKey = await openCandidate(appStoreConnect.privateKey, { env, log });
    if (!apiKey.signer) throw new Error('The API key cannot be opened.');
    const asc = openAppStoreConnect({ ...appStoreConnect, signer: apiKey.signer, log });
    try {
      const previous = await store.readNotice();
      if (isUnfinished(previous)) await ensureAbandoned(store, previous);
      const wanted = { config, app, to: halves[key] ?? '', held: halves };
      const change = await planChange(wanted, previous, { asc, store });
      if (!change) return 'nothing to do';
      return `key id ${await rotate(change, { asc, store, previous, readByAll, report: () => undefined })}`;
    } finally {
      asc.close();
      await reports.close();
      await store.close();
    }
  });
  if (killedAfterMs === undefined) ended();
}

/** The operator uses the data folder of the first replica. */
const operatorEnv = (fleet: Fleet) => ({ ...fleet.env, WEBDIST_DATA_DIR: fleet.replicas[0]?.folder });
