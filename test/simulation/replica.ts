/** Starts, stops and kills the replicas: the real service and its real HTTP server, in a machine of their own. */

import { rmSync } from 'node:fs';
import { pino } from 'pino';
import { readConfig } from '../../src/config/config.ts';
import { buildServer } from '../../src/http/server.ts';
import { openService } from '../../src/service/service.ts';
import { auditFile, auditTokens } from './audit.ts';
import type { Fleet, Replica } from './fleet.ts';
import { visit } from './people/visitors.ts';
import { diskFaultOf } from './world/disk.ts';
import { randomOf } from './world/random.ts';
import { type Machine, resume, schedule, trueTime, within } from './world/scheduler.ts';

/** How long the supervisor waits before it starts a process again. */
const RESTART_MS = 2000;

/** Returns the machine of a new process on the replica's hardware. */
export function newMachine(fleet: Fleet, name: string, replica?: Replica): Machine {
  const clock = replica?.clock ?? { offsetMs: 0, driftPerMs: 0, sinceMs: 0 };
  return {
    name,
    random: randomOf(fleet.seed, `${name} ${replica?.starts ?? 0}`),
    isAlive: true,
    isSuspended: false,
    held: [],
    resumedAt: 0,
    wallOffsetMs: () => clock.offsetMs + clock.driftPerMs * (trueTime() - clock.sinceMs),
    hasIntervals: true,
    onKill: new Set(),
  };
}

/** Starts a process, and starts it again for as long as it cannot start. */
export function start(fleet: Fleet, replica: Replica): void {
  if (replica.state !== 'down') return;
  replica.starts += 1;
  const machine = newMachine(fleet, replica.name, replica);
  replica.machine = machine;
  replica.state = 'starting';
  fleet.note(replica.name, 'starts');
  within(machine, () => open(fleet, replica)).then(
    (opened) => {
      Object.assign(replica, opened, { state: 'up' });
      fleet.note(replica.name, 'serves');
      // Bugs at start-up show in the first answers.
      void visit(fleet, replica, `visitor of start ${replica.starts}`);
    },
    (error) => {
      fleet.note(replica.name, `cannot start: ${error.message}`);
      kill(fleet, replica);
      fleet.facts.failedStarts.push({ replica: replica.name, error });
      schedule(RESTART_MS, () => start(fleet, replica), null);
    },
  );
}

/** Log events that the history shows in other lines, or that are irrelevant to it. */
const UNTOLD = new Set(['install_token_issued', 'marketplace_kit_incomplete']);

/** The log lines of a replica become lines of the trace, so that the history shows the replicas' view. */
function logTo(fleet: Fleet, { name }: Replica) {
  const write = (text: string) => {
    const { event, msg, code, err, revision } = JSON.parse(text);
    if (event === 'orders_followed' && !diskFaultOf(name)) fleet.facts.followed.set(name, revision);
    if (!UNTOLD.has(event))
      fleet.note(name, `logs ${event ?? msg}${code ? ` ${code}` : ''}${err ? `: ${err.message}` : ''}`);
    if (err && !err.code) fleet.facts.unexpectedErrors.push(`${name}: ${event ?? msg}: ${err.message}`);
  };
  return pino({ level: 'info', base: {} }, { write });
}

async function open(fleet: Fleet, replica: Replica) {
  const env = {
    ...fleet.env,
    WEBDIST_DATA_DIR: replica.folder,
    WEBDIST_AUDIT: fleet.choices.audits ? auditFile(replica) : undefined,
  };
  const { service, serverDeps } = await openService(readConfig(env), { env, log: logTo(fleet, replica) });
  const machine = replica.machine as Machine;
  machine.hasIntervals = false;
  const server = await buildServer(serverDeps);
  await server.app.ready();
  machine.hasIntervals = true;
  return { service, server };
}

/** Ends the process at once, whatever it is doing. */
export function kill(fleet: Fleet, replica: Replica): void {
  const { machine } = replica;
  if (!machine) return;
  auditTokens(fleet, replica);
  machine.isAlive = false;
  for (const end of [...machine.onKill]) end();
  resume(machine);
  Object.assign(replica, { state: 'down', machine: undefined, service: undefined, server: undefined });
  fleet.note(replica.name, 'is dead');
}

/** Stops the process as `SIGTERM` does, then calls `done`. */
export function stop(fleet: Fleet, replica: Replica, done: () => void): void {
  const { service, server, machine, state } = replica;
  if (state !== 'up' || !service || !server || !machine) {
    done();
    return;
  }
  within(machine, async () => {
    server.drain();
    await server.close();
    await service.close();
  }).then(
    () => {
      if (replica.machine === machine) kill(fleet, replica);
      done();
    },
    (error) => {
      fleet.note(replica.name, `cannot stop cleanly: ${error.message}`);
      if (replica.machine === machine) kill(fleet, replica);
      done();
    },
  );
}

/** Loses everything on the disk. Only with PostgreSQL, because with SQLite the ledger is on it. */
export const loseDisk = (replica: Replica): void => rmSync(replica.folder, { recursive: true, force: true });
