/**
 * A flame graph of a V8 CPU profile as SVG: callers below callees, each as wide as the time it took. Idle and start-up
 * are left out.
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runLoad, startServer } from './processes.ts';
import { PAGE, warmUp } from './servers.ts';

type ProfileNode = {
  readonly id: number;
  readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  readonly children?: readonly number[];
};
type Profile = {
  readonly nodes: readonly ProfileNode[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
};
type Frame = { readonly name: string; microseconds: number; readonly parts: Map<string, Frame> };

const WIDTH = 1600;
const ROW = 17;
/** Narrower boxes cannot be read. */
const LEAST_WIDTH = 2;
const CHARACTER = 6.6;
/** Idle time, and time before the measurement. */
const LEFT_OUT = /^\((?:idle|program)\)|node:internal\/modules\//;

/** Runs a load against the full server with a profiler, and writes the graph to a file. */
export async function writeFlameGraph(folder: string, out: string, seconds: number): Promise<void> {
  const server = await startServer('full', { profile: folder });
  await warmUp(server);
  await runLoad({ ...PAGE, url: server.url, connections: 64, seconds });
  await server.stop();
  const name = readdirSync(folder).find((file) => file.endsWith('.cpuprofile')) ?? '';
  writeFileSync(out, draw(read(JSON.parse(readFileSync(join(folder, name), 'utf8')) as Profile)));
}

function read({ nodes, samples, timeDeltas }: Profile): Frame {
  const own = new Map<number, number>();
  for (const [index, id] of samples.entries()) own.set(id, (own.get(id) ?? 0) + (timeDeltas[index] ?? 0));
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const add = (id: number, into: Frame): void => {
    const node = byId.get(id);
    if (!node || LEFT_OUT.test(nameOf(node))) return;
    const frame = into.parts.get(nameOf(node)) ?? newFrame(nameOf(node));
    into.parts.set(frame.name, frame);
    const before = frame.microseconds;
    frame.microseconds += own.get(id) ?? 0;
    for (const child of node.children ?? []) add(child, frame);
    into.microseconds += frame.microseconds - before;
  };
  const all = newFrame('all');
  const [root] = nodes;
  for (const child of root?.children ?? []) add(child, all);
  return all;
}

const newFrame = (name: string): Frame => ({ name, microseconds: 0, parts: new Map() });

function nameOf({ callFrame: { functionName, url, lineNumber } }: ProfileNode): string {
  const file = url
    .split('/node_modules/')
    .pop()
    ?.replace(/^file:.*?\/(src|test)\//, '$1/');
  return `${functionName || '(anonymous)'}${file ? ` ${file}:${lineNumber + 1}` : ''}`;
}

function draw(all: Frame): string {
  const rows: string[] = [];
  let deepest = 0;
  const place = (frame: Frame, left: number, depth: number): void => {
    const width = (frame.microseconds / all.microseconds) * WIDTH;
    if (width < LEAST_WIDTH) return;
    deepest = Math.max(deepest, depth);
    const share = `${((frame.microseconds / all.microseconds) * 100).toFixed(1)} %`;
    const text = escaped(frame.name.slice(0, Math.max(0, Math.floor(width / CHARACTER) - 1)));
    rows.push(
      `<g><title>${escaped(frame.name)}: ${share}</title><rect x="${left.toFixed(1)}" y="${depth * ROW}" width="${width.toFixed(1)}" height="${ROW - 1}" fill="${colour(frame.name)}"/>${text && `<text x="${(left + 2).toFixed(1)}" y="${depth * ROW + 12}">${text}</text>`}</g>`,
    );
    let at = left;
    for (const part of [...frame.parts.values()].sort((one, other) => other.microseconds - one.microseconds)) {
      place(part, at, depth + 1);
      at += (part.microseconds / all.microseconds) * WIDTH;
    }
  };
  place(all, 0, 0);
  const height = (deepest + 1) * ROW;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="monospace" font-size="11">\n${rows.join('\n')}\n</svg>\n`;
}

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');

/** Our code is green, Node's grey, libraries sand. */
function colour(name: string): string {
  if (/ (src|test)\//.test(name)) return '#a9d18e';
  return / [@\w-]+[/.]/.test(name) && !/ node:/.test(name) ? '#f4d58d' : '#d9d9d9';
}
