/**
 * Loads the simulated database clients in the place of `pg` and `ioredis`, and applies a planted bug (planted-bugs.ts) to the
 * source text of one module while it is loaded. Production code has no branch for any of this.
 */

import { registerHooks } from 'node:module';

const replaced: Readonly<Record<string, string>> = { pg: './postgres.ts', ioredis: './redis.ts' };

/** A change of one module's source text. */
export type SourceChange = {
  /** The end of its path, such as `src/ledger/rule.ts`. */
  readonly file: string;
  /** Occurs exactly once in it. */
  readonly find: string;
  readonly replace: string;
};

/** To be called before the first import of `src`. */
export function installHooks(changes: readonly SourceChange[]): void {
  registerHooks({
    resolve(specifier, context, next) {
      const file = context.parentURL?.includes('/src/') ? replaced[specifier] : undefined;
      return file ? { url: new URL(file, import.meta.url).href, shortCircuit: true } : next(specifier, context);
    },
    load(url, context, next) {
      const loaded = next(url, context);
      const here = changes.filter(({ file }) => url.endsWith(file));
      if (here.length === 0) return loaded;
      let source = String(loaded.source);
      for (const { file, find, replace } of here) {
        if (source.split(find).length !== 2) throw new Error(`${file} does not contain exactly once: ${find}`);
        source = source.replace(find, () => replace);
      }
      return { ...loaded, source };
    },
  });
}
