/** Stands in for the package `ioredis`: one simulated Redis that counts in windows. Its data can be lost at any time. */

import { networkError, request } from './network.ts';
import { schedule, trueTime } from './scheduler.ts';

type Entry = { count: number; readonly endsAt: number };

/** The state of the simulated server, which faults change. */
export const redis = { isDown: false, entries: new Map<string, Entry>() };

export function resetRedis(): void {
  redis.isDown = false;
  redis.entries = new Map();
}

/** Ends the server; the returned function starts it again, without its data. */
export function loseRedis(): () => void {
  redis.isDown = true;
  return () => {
    redis.isDown = false;
    redis.entries.clear();
  };
}

type Options = { readonly commandTimeout: number };

export class Redis {
  readonly #options: Options;
  constructor(_url: string, options: Options) {
    this.#options = options;
  }
  on() {
    return this;
  }
  async connect(): Promise<void> {
    await this.#send(() => undefined);
  }
  disconnect(): void {
    // Nothing is kept open.
  }
  /** Runs the script of src/redis/connection.ts: `windowMs`, then one number of tokens for each key. */
  eval(_script: string, keyCount: number, ...args: (string | number)[]): Promise<[number, number][]> {
    const keys = args.slice(0, keyCount).map(String);
    const [windowMs = 0, ...tokens] = args.slice(keyCount).map(Number);
    return this.#send(() =>
      keys.map((key, index) => {
        const entry = liveEntry(key) ?? { count: 0, endsAt: trueTime() + windowMs };
        entry.count += tokens[index] ?? 0;
        redis.entries.set(key, entry);
        return [entry.count, entry.endsAt - trueTime()];
      }),
    );
  }
  set(key: string, _value: string, _ex: 'EX', seconds: number, _nx: 'NX'): Promise<'OK' | null> {
    return this.#send(() => {
      if (liveEntry(key)) return null;
      redis.entries.set(key, { count: 1, endsAt: trueTime() + seconds * 1000 });
      return 'OK';
    });
  }
  #send<T>(command: () => T): Promise<T> {
    const answering = request({ name: 'Redis', isConnection: true }, async () => {
      if (redis.isDown) throw networkError('ECONNREFUSED');
      return command();
    });
    return new Promise((resolve, reject) => {
      const cancel = schedule(this.#options.commandTimeout, () => reject(new Error('Command timed out')));
      answering.then(resolve, reject).finally(cancel);
    });
  }
}

function liveEntry(key: string): Entry | undefined {
  const entry = redis.entries.get(key);
  return entry && entry.endsAt > trueTime() ? entry : undefined;
}
