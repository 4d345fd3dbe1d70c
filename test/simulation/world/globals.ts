/**
 * Replaces everything through which code reaches the outside world: timers, clocks, random numbers, `fetch`,
 * `node:fs/promises`, threads. Production code contains nothing for this. `installWorld` must run before the first import
 * of `src`.
 */

import { createRequire, syncBuiltinESMExports } from 'node:module';
import type { DatabaseSync } from 'node:sqlite';
import { installKeys, installWebCrypto, resetKeys } from './crypto.ts';
import { simulatedDisk } from './disk.ts';
import { simulatedFetch } from './network.ts';
import { bytesOf, type Random, randomOf } from './random.ts';
import { elapsedMs, machineNow, schedule, trueTime, wait } from './scheduler.ts';

const require = createRequire(import.meta.url);

/** For code that belongs to no machine. */
let ownRandom: Random = randomOf(0, 'simulation');

/** Begins the random numbers of a new run. */
export function resetRandom(seed: number): void {
  ownRandom = randomOf(seed, 'simulation');
  resetKeys();
}

const random = () => (machineNow()?.random ?? ownRandom)();
const wallTime = () => Math.floor(trueTime() + (machineNow()?.wallOffsetMs() ?? 0));

export function installWorld(): void {
  // Stack traces take time, and no history shows them.
  Error.stackTraceLimit = 0;
  installTimers();
  installClocks();
  installRandom();
  installWebCrypto();
  installKeys();
  const fs = require('node:fs');
  Object.assign(fs.promises, simulatedDisk());
  Object.assign(require('node:os'), { hostname: () => machineNow()?.name.replaceAll(' ', '-') ?? 'localhost' });
  const { pid } = process;
  // It is a part of the name by which a replica reports.
  Object.defineProperty(process, 'pid', { get: () => (machineNow() ? 1 : pid) });
  Object.assign(fs, { watchFile: () => ({ setMaxListeners: () => undefined }), unwatchFile: () => undefined });
  installSqlite();
  globalThis.fetch = simulatedFetch;
  // Without it, Fastify searches all loaded modules for the name of every plugin, which is 4 % of a replica's start.
  Object.defineProperty(Function.prototype, Symbol.for('fastify.display-name'), { value: 'plugin', writable: true });
  syncBuiltinESMExports();
}

/** What `setTimeout` returns. */
class VirtualTimer {
  readonly #cancel: () => void;
  constructor(cancel: () => void) {
    this.#cancel = cancel;
  }
  ref() {
    return this;
  }
  unref() {
    return this;
  }
  hasRef() {
    return true;
  }
  close() {
    this.#cancel();
  }
  [Symbol.dispose]() {
    this.#cancel();
  }
}

function installTimers(): void {
  const clear = (timer: unknown) => timer instanceof VirtualTimer && timer.close();
  const after = (ms: number, run: () => void) => new VirtualTimer(schedule(Math.max(1, ms || 0), run));
  const every = (ms: number, run: () => void) => {
    if (machineNow()?.hasIntervals === false) return new VirtualTimer(() => undefined);
    let cancel: () => void = () => undefined;
    const next = () => {
      cancel = schedule(Math.max(1, ms), () => {
        next();
        run();
      });
    };
    next();
    return new VirtualTimer(() => cancel());
  };
  type Run = (...args: unknown[]) => void;
  Object.assign(globalThis, {
    setTimeout: (run: Run, ms: number, ...args: unknown[]) => after(ms, () => run(...args)),
    setInterval: (run: Run, ms: number, ...args: unknown[]) => every(ms, () => run(...args)),
    setImmediate: (run: Run, ...args: unknown[]) => new VirtualTimer(schedule(0, () => run(...args))),
    clearTimeout: clear,
    clearInterval: clear,
    clearImmediate: clear,
  });
  const sleep = (ms: number, value?: unknown, { signal }: { signal?: AbortSignal } = {}) =>
    new Promise((resolve, reject) => {
      const timer = after(ms, () => resolve(value));
      signal?.addEventListener('abort', () => {
        timer.close();
        reject(signal.reason);
      });
    });
  Object.assign(require('node:timers/promises'), {
    setTimeout: sleep,
    setImmediate: async (value: unknown) => {
      await wait(0);
      return value;
    },
  });
  AbortSignal.timeout = (ms) => {
    const controller = new AbortController();
    after(ms, () => controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError')));
    return controller.signal;
  };
}

function installClocks(): void {
  const RealDate = Date;
  globalThis.Date = class extends RealDate {
    constructor(...args: []) {
      if (args.length === 0) super(wallTime());
      else super(...args);
    }
    static override now = wallTime;
  } as DateConstructor;
  performance.now = elapsedMs;
}

function installRandom(): void {
  Math.random = random;
  const randomBytes = (length: number) => bytesOf(random, length);
  const randomUUID = () => {
    const bytes = randomBytes(16);
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  };
  const randomInt = (least: number, most?: number) =>
    most === undefined ? Math.floor(random() * least) : least + Math.floor(random() * (most - least));
  Object.assign(require('node:crypto'), { randomBytes, randomUUID, randomInt });
  const getRandomValues = <T extends Uint8Array>(array: T): T => {
    array.set(randomBytes(array.length));
    return array;
  };
  Object.defineProperties(globalThis.crypto, {
    randomUUID: { value: randomUUID },
    getRandomValues: { value: getRandomValues },
  });
}

/** The system closes the databases of a process that is killed, which rolls back what was not committed. */
function installSqlite(): void {
  const sqlite = require('node:sqlite') as { DatabaseSync: typeof DatabaseSync };
  const Real = sqlite.DatabaseSync;
  sqlite.DatabaseSync = class extends Real {
    readonly #machine = machineNow();
    readonly #kill = () => super.close();
    constructor(...args: ConstructorParameters<typeof Real>) {
      super(...args);
      this.#machine?.onKill.add(this.#kill);
    }
    override close() {
      this.#machine?.onKill.delete(this.#kill);
      if (this.isOpen) super.close();
    }
  };
}
