/** Which file imports what, read from the text of the files: nothing is run. */

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

export type Import = {
  readonly specifier: string;
  /** The file of a relative import; the name of a package, or of a module of Node.js (`node:…`). */
  readonly target: string;
  readonly isRelative: boolean;
  /** Whether it only imports types. */
  readonly isType: boolean;
};

/** `import … from`, `export … from`, `import '…'` and `import('…')`, each with or without types only. */
const patterns = [
  /^(?:import|export)\s+(?<type>type\s+)?(?:[^'"]*?\sfrom\s+)?'(?<specifier>[^'\n]+)'/gm,
  /(?<type>typeof\s+)?\bimport\(\s*'(?<specifier>[^'\n]+)'\s*\)/g,
];

/** The imports of a file. */
export function importsOf(file: string): Import[] {
  const text = readFileSync(file, 'utf8').replace(/^\s*(\/\*\*|\*|\/\/).*$/gm, '');
  return patterns
    .flatMap((pattern) => [...text.matchAll(pattern)])
    .map(({ groups }) => ({ specifier: groups?.['specifier'] ?? '', isType: groups?.['type'] !== undefined }))
    .map(({ specifier, isType }) => {
      const isRelative = specifier.startsWith('.');
      return { specifier, isType, isRelative, target: isRelative ? resolved(file, specifier) : packageOf(specifier) };
    });
}

/** A build imports `.js` where the sources have `.ts`. */
function resolved(file: string, specifier: string): string {
  const path = normalize(join(dirname(file), specifier));
  return existsSync(path) ? path : path.replace(/\.js$/, '.ts');
}

const packageOf = (specifier: string) => /^(?:@[^/]+\/)?[^/]+/.exec(specifier)?.[0] ?? specifier;

/** Import cycles, each as the files along it; only the given files are part of the graph. */
export function cyclesAmong(files: readonly string[]): string[][] {
  const known = new Set(files);
  const targets = new Map(
    files.map((file) => [
      file,
      importsOf(file)
        .map(({ target }) => target)
        .filter((target) => known.has(target) && target !== file),
    ]),
  );
  const cycles: string[][] = [];
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) cycles.push(path.slice(start));
    if (start >= 0 || done.has(file)) return;
    for (const target of targets.get(file) ?? []) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  return cycles;
}
