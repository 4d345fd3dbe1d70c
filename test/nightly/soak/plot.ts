/** A soak as an SVG: one panel for each group of measures, time from left to right. */

import { type Measure, measures, type Sample } from './samples.ts';

const panels: readonly { readonly title: string; readonly lines: readonly Measure[] }[] = [
  { title: 'memory, MB', lines: ['rssMb', 'heapMb', 'externalMb'] },
  { title: 'handles', lines: ['handles', 'fds'] },
  { title: 'event-loop delay, ms', lines: ['lagP50Ms', 'lagP99Ms'] },
  { title: 'latency, ms', lines: ['latencyP50Ms', 'latencyP99Ms'] },
  { title: 'ledger, MB', lines: ['ledgerMb'] },
];

const colours = ['#0b62c4', '#c2410c', '#15803d'];
const WIDTH = 900;
const LEFT = 60;
const RIGHT = 20;
const PANEL = 130;
const GAP = 50;
const TOP = 60;

/** Draws samples; the title goes above them. */
export function plot(samples: readonly Sample[], title: string): string {
  const height = TOP + panels.length * (PANEL + GAP);
  const drawn = panels.map(({ title, lines }, index) => panel(samples, title, lines, TOP + index * (PANEL + GAP)));
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
${text(LEFT, 24, title, 'font-size="16" font-weight="bold"')}
${drawn.join('\n')}
</svg>
`;
}

function panel(samples: readonly Sample[], title: string, lines: readonly Measure[], top: number): string {
  const endSeconds = samples.at(-1)?.seconds || 1;
  const most = niceAbove(Math.max(...samples.flatMap((sample) => lines.map((name) => sample[name])), 0));
  const x = (seconds: number) => LEFT + (seconds / endSeconds) * (WIDTH - LEFT - RIGHT);
  const y = (value: number) => top + PANEL - (value / most) * PANEL;
  const levels = [0, most / 2, most].map(
    (value) =>
      `<path d="M${LEFT} ${y(value)}H${WIDTH - RIGHT}" stroke="#ddd"/>` +
      text(LEFT - 6, y(value) + 4, String(value), 'text-anchor="end"'),
  );
  const curves = lines.map((name, index) => {
    const points = samples.map((sample) => `${x(sample.seconds).toFixed(1)},${y(sample[name]).toFixed(1)}`);
    return `<polyline points="${points.join(' ')}" fill="none" stroke="${colours[index]}" stroke-width="1.5"/>`;
  });
  const legend = lines.map((name, index) =>
    text(LEFT + 180 + index * 190, top - 8, measures[name], `fill="${colours[index]}"`),
  );
  const minutes = text(WIDTH - RIGHT, top + PANEL + 15, `${Math.round(endSeconds / 6) / 10} min`, 'text-anchor="end"');
  return [text(LEFT, top - 8, title, 'font-weight="bold"'), ...levels, ...curves, ...legend, minutes].join('\n');
}

const text = (x: number, y: number, words: string, attributes: string) =>
  `<text x="${x}" y="${y}" ${attributes}>${words.replace(/&/g, '&amp;').replace(/</g, '&lt;')}</text>`;

/** The smallest of 1, 2, 4, 10 … that is not below a value. */
function niceAbove(value: number): number {
  const power = 10 ** Math.floor(Math.log10(value || 1));
  return power * ([1, 2, 4, 10].find((step) => value <= power * step) ?? 10);
}
