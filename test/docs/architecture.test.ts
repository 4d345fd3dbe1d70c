/** The drawing of docs/architecture.md shows the imports between the rooms of `src`: none is missing, and none is superfluous. */

import { globSync, readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { importsOf } from '../harness/imports.ts';

const path = 'docs/architecture.md';
const page = readFileSync(path, 'utf8');

/** Not drawn: any room may import them. */
const everywhere = [
  'apple-id',
  'batch',
  'connection-problem',
  'environment',
  'errors',
  'file-problem',
  'host',
  'node-http',
  'stored-format',
  'suspensions',
  'version',
];

type Graph = ReadonlyMap<string, ReadonlySet<string>>;

const files = globSync('src/**/*.ts');
const roomOf = (file: string) => (file.split('/')[1] ?? '').replace(/\.ts$/, '');

function importsBetweenRooms(): Graph {
  const graph = new Map<string, Set<string>>();
  for (const file of files) {
    const room = roomOf(file);
    const targets = graph.get(room) ?? new Set();
    graph.set(room, targets);
    for (const { target, isRelative } of importsOf(file))
      if (isRelative && roomOf(target) !== room && !everywhere.includes(roomOf(target))) targets.add(roomOf(target));
  }
  return graph;
}

/** Whether a path leads from one room to another, apart from the arrow between the two. */
function isImplied(graph: Graph, from: string, to: string): boolean {
  const seen = new Set<string>();
  const rooms = [...(graph.get(from) ?? [])].filter((room) => room !== to);
  for (let room = rooms.pop(); room !== undefined; room = rooms.pop()) {
    if (room === to) return true;
    if (seen.has(room)) continue;
    seen.add(room);
    rooms.push(...(graph.get(room) ?? []));
  }
  return false;
}

const graph = importsBetweenRooms();
const wanted = [...graph]
  .flatMap(([from, targets]) =>
    [...targets].filter((to) => !isImplied(graph, from, to)).map((to) => `  ${from} --> ${to}`),
  )
  .sort();

const between = /( {2}%% imports\n)([\s\S]*?)( {2}%% end\n)/;
const drawn = between.exec(page)?.[2]?.trimEnd().split('\n') ?? [];

// Run with WEBDIST_WRITE_DOCS=1 to write the arrows instead of checking them.
if (process.env['WEBDIST_WRITE_DOCS'])
  writeFileSync(
    path,
    page.replace(between, (_, start, __, end) => `${start}${wanted.join('\n')}\n${end}`),
  );
else {
  t.strictSame(
    wanted.filter((arrow) => !drawn.includes(arrow)),
    [],
    'no arrow is missing (WEBDIST_WRITE_DOCS=1 writes them)',
  );
  t.strictSame(
    drawn.filter((arrow) => !wanted.includes(arrow)),
    [],
    'no arrow is too many',
  );
}

t.strictSame(
  [...new Set(files.map(roomOf))]
    .sort()
    .filter((room) => !new RegExp(`^\\|[^|\\n]*\`${room}(\\.ts|/)\``, 'm').test(page)),
  [],
  'the table has every room',
);
