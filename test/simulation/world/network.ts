/**
 * The network of the fleet: every message is an event, after a delay. A link between two places can be slow, lose messages,
 * deliver them twice, or be cut.
 */

import { randomOf } from './random.ts';
import { type Machine, machineNow, schedule, within } from './scheduler.ts';

/** What is wrong with a link. */
export type LinkFault = {
  /** The share of messages that never arrive, in either direction. */
  readonly loss?: number;
  readonly delayMs?: number;
  /** The share of requests that arrive twice. */
  readonly twice?: number;
  readonly isCut?: boolean;
};

type Place = {
  readonly name: string;
  readonly machine?: Machine | undefined;
  /** Requests are sent over one connection, so none is delivered twice. */
  readonly isConnection?: true;
};

const faults = new Map<string, LinkFault>();
let random = randomOf(0, 'network');

export function resetNetwork(seed: number): void {
  faults.clear();
  random = randomOf(seed, 'network');
}

/** Sets what is wrong with every link to a place, or with the link from one place to another; undefined repairs it. */
export function setLinkFault(link: string, fault: LinkFault | undefined): void {
  if (fault) faults.set(link, fault);
  else faults.delete(link);
}

const LATENCY_MS = 2;

/**
 * Sends a request and returns its answer. `serve` runs at the destination. Rejects with a system error if there is no
 * connection, or if the destination dies. A lost message is not an error: the caller waits for ever, or until its time
 * limit.
 */
export function request<T>(to: Place, serve: () => Promise<T>): Promise<T> {
  const from = machineNow() ?? null;
  const fault = faults.get(`${from?.name ?? 'visitors'} to ${to.name}`) ?? faults.get(to.name) ?? {};
  const delayMs = () => (fault.delayMs ?? LATENCY_MS) * (0.5 + random());
  const isLost = () => random() < (fault.loss ?? 0);
  return new Promise((resolve, reject) => {
    const fail = (code: string) => schedule(delayMs(), () => reject(networkError(code)), from);
    if (fault.isCut) return void fail('ECONNREFUSED');
    const arrive = (isDuplicate: boolean) => {
      if (to.machine?.isAlive === false) return void fail('ECONNREFUSED');
      if (to.machine?.isSuspended)
        return void to.machine.held.push(() => void schedule(0, () => arrive(isDuplicate), null));
      const died = () => void fail('ECONNRESET');
      to.machine?.onKill.add(died);
      const serving = to.machine ? within(to.machine, serve) : serve();
      const answered = (settle: () => void) => {
        to.machine?.onKill.delete(died);
        if (!isDuplicate && to.machine?.isAlive !== false && !isLost()) schedule(delayMs(), settle, from);
      };
      serving.then(
        (answer) => answered(() => resolve(answer)),
        (error) => answered(() => reject(error)),
      );
    };
    if (isLost()) return;
    schedule(delayMs(), () => arrive(false), null);
    if (!to.isConnection && random() < (fault.twice ?? 0)) schedule(delayMs() * 3, () => arrive(true), null);
  });
}

export const networkError = (code: string) => Object.assign(new Error(`connect ${code}`), { code });

/** Answers requests to one origin; `from` is the name of the machine that sends them. */
export type Website = (request: Request, from: string) => Promise<Response>;
const websites = new Map<string, { readonly place: string; readonly serve: Website }>();

/** Requests to `origin` go to the place with this name. */
export function openWebsite(origin: string, place: string, serve: Website): void {
  websites.set(origin, { place, serve });
}

/** `fetch` in the simulated network. */
export async function simulatedFetch(input: string | URL | Request, init?: RequestInit): Promise<Response> {
  const received = new Request(input, init);
  const { signal } = received;
  signal.throwIfAborted();
  const from = machineNow()?.name ?? '';
  const website = websites.get(new URL(received.url).origin);
  const answering = website
    ? request({ name: website.place }, () => website.serve(received, from))
    : Promise.reject(networkError('ENOTFOUND'));
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });
  try {
    return await Promise.race([answering, aborted]);
  } catch (error) {
    if (signal.aborted) throw error;
    // Throws what the real `fetch` throws for every failure of the network.
    throw new TypeError('fetch failed', { cause: error });
  }
}
