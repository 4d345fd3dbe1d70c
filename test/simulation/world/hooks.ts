/**
 * Loads the simulated clients in the place of `pg`, `ioredis` and Vault's, and an empty button, and applies a planted bug
 * (planted-bugs.ts) to the source text of one module while it is loaded. Production code has no branch for any of this.
 */

import { registerHooks } from 'node:module';

/** No browser loads the button here, and each start of a replica would prepare its modules again. */
const NO_BUTTON = "data:text/javascript,export const buttonModules = () => ({ 'install-button.js': '' });";

/** By the import in a module of `src`: the end of that module's folder, and the replacement. */
const replaced: Readonly<Record<string, { readonly in: string; readonly by: string }>> = {
  pg: { in: '/src/', by: './postgres.ts' },
  ioredis: { in: '/src/', by: './redis.ts' },
  './http.ts': { in: '/src/vault/', by: './vault.ts' },
  '../../browser/package/modules.ts': { in: '/src/http/', by: NO_BUTTON },
};

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
      const row = replaced[specifier];
      if (!row || !context.parentURL?.includes(row.in)) return next(specifier, context);
      return { url: new URL(row.by, import.meta.url).href, shortCircuit: true };
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
