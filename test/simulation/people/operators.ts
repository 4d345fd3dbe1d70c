/** Operators, each with a machine, who run commands. A command is simulated by the functions that it calls. */

import { openAppStoreConnect } from '../../../src/app-store-connect/client.ts';
import { readConfig } from '../../../src/config/config.ts';
import { spki } from '../../../src/jws.ts';
import { openLog } from '../../../src/log.ts';
import type { Order } from '../../../src/orders/orders.ts';
import { openOrderStore } from '../../../src/orders/store.ts';
import { openCandidate } from '../../../src/registration/candidates.ts';
import { systemClock } from '../../../src/registration/clock.ts';
import { ensureAbandoned } from '../../../src/registration/rotation/journal.ts';
import { isUnfinished } from '../../../src/registration/rotation/notice.ts';
import { planChange } from '../../../src/registration/rotation/plan.ts';
import { readByEveryReplica } from '../../../src/registration/rotation/readers.ts';
import { rotate } from '../../../src/registration/rotation/rotate.ts';
import { openRegistrationStore } from '../../../src/registration/store.ts';
import { type Fleet, locatorsOf } from '../fleet.ts';
import { examine } from '../invariants.ts';
import { newMachine } from '../replica.ts';
import { followStored } from '../stored-orders.ts';
import { type Machine, schedule, trueTime, within } from '../world/scheduler.ts';
import { visit } from './visitors.ts';

/** The pause between two visits while a command runs. */
const VISIT_MS = 400;

/** An order for the one app. */
export type Given = Order extends infer One ? (One extends Order ? Omit<One, 'appleItemId'> : never) : never;

let commands = 0;
export const resetCommands = (): void => {
  commands = 0;
};

/** How an operator runs a command. */
type Run = {
  readonly name: string;
  /** When it is killed; undefined: never. */
  readonly killedAfterMs: number | undefined;
  /** Called when the command has ended or was killed. */
  readonly ended: () => void;
};

/** Runs the work of a command on the operator's machine. */
async function command(fleet: Fleet, { name, killedAfterMs, ended }: Run, work: () => Promise<string>) {
  const { note } = fleet;
  commands += 1;
  const machine = newMachine(fleet, `operator ${commands}`);
  note(machine.name, `runs ${name}`);
  const end = (how: string) => {
    if (!machine.isAlive) return;
    machine.isAlive = false;
    for (const cutOff of [...machine.onKill]) cutOff();
    note(machine.name, how);
    ended();
  };
  if (killedAfterMs !== undefined) schedule(killedAfterMs, () => end('is killed'), null);
  visitWhile(fleet, machine);
  await within(machine, work).then(
    (result) => end(`${name}: ${result}`),
    (error) => end(`${name} fails: ${error.code ?? ''} ${error.message}`),
  );
}

/** Visitors arrive while a command runs, because the replicas change then. */
function visitWhile(fleet: Fleet, command: Machine): void {
  const next = () => {
    if (!command.isAlive) return;
    const nowMs = Math.floor(trueTime());
    const replica = fleet.replicas[nowMs % fleet.replicas.length];
    if (replica) void visit(fleet, replica, `visitor ${nowMs}`);
    schedule(VISIT_MS, next, null);
  };
  next();
}

/** `webdist keys stop` and `keys resume`, and `webdist packages hold`, `resume` and `use`. */
export function order(fleet: Fleet, given: Given, killedAfterMs?: number): Promise<void> {
  const { facts } = fleet;
  facts.ordersInProgress += 1;
  const ended = () => {
    followStored(fleet);
    facts.ordersInProgress -= 1;
  };
  const name = [given.act, 'appleVersionId' in given ? given.appleVersionId : ''].join(' ').trim();
  return command(fleet, { name, killedAfterMs, ended }, async () => {
    const store = await openOrderStore(readConfig(operatorEnv(fleet)));
    const orders = await store.change({ ...given, appleItemId: fleet.apple.app.id });
    examine(fleet, 'onOrder', orders);
    await store.close();
    return `revision ${orders.revision}`;
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
  // Messages that it sent before it was killed can still arrive.
  const ended = () =>
    void schedule(
      1000,
      () => {
        facts.rotations -= 1;
      },
      null,
    );
  await command(fleet, { name: `keys rotate to key ${key}`, killedAfterMs, ended }, async () => {
    const env = operatorEnv(fleet);
    const config = readConfig(env);
    const log = openLog('silent');
    const store = await openRegistrationStore(config, log);
    const halves = await Promise.all(
      locatorsOf(fleet.choices).map(async (locator) => {
        const candidate = await openCandidate(locator, { env, log });
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
}

/** The operator uses the data folder of the first replica. */
const operatorEnv = (fleet: Fleet) => ({ ...fleet.env, WEBDIST_DATA_DIR: fleet.replicas[0]?.folder });
