/**
 * Whether a soak stayed flat. The first third is the warm-up: code gets compiled, caches and the count of visitors
 * fill. The rest is divided into ten windows; the slope is the median of the slopes between every two of them
 * (Theil–Sen), and its noise is half of their interquartile range. A measure is **not flat** when it grew by more than
 * twice its noise *and* by more than its allowance in an hour.
 */

import { type Measure, measures, type Sample } from './samples.ts';

const WARM_UP_SHARE = 1 / 3;
const WINDOWS = 10;
/** For a shorter soak, a slope per hour means nothing. */
export const LEAST_MINUTES = 15;

/** The growth allowed in an hour: a share of the median, or an absolute amount. Other measures may grow. */
const allowances: Partial<Record<Measure, { readonly share?: number; readonly of?: number }>> = {
  rssMb: { share: 0.05 },
  heapMb: { share: 0.05, of: 2 },
  externalMb: { share: 0.05, of: 2 },
  handles: { of: 2 },
  fds: { of: 2 },
  lagP50Ms: { of: 1 },
  lagP99Ms: { share: 0.5, of: 5 },
};

type Judged = {
  readonly measure: Measure;
  readonly first: number;
  readonly median: number;
  readonly last: number;
  /** Per hour, after the warm-up; the noise has the same unit. */
  readonly slope: number;
  readonly noise: number;
  /** Undefined if the measure may grow. */
  readonly allowed: number | undefined;
  readonly isFlat: boolean;
};

type Verdict = { readonly text: string; readonly measures: readonly Judged[] };

/** Judges samples in the order they were taken. */
export function judge(samples: readonly Sample[]): Verdict {
  const end = samples.at(-1)?.seconds ?? 0;
  const warm = samples.filter(({ seconds }) => seconds >= end * WARM_UP_SHARE);
  const judged = (Object.keys(measures) as Measure[]).map((measure) => judgeOne(measure, warm));
  const growing = judged.filter(({ isFlat }) => !isFlat);
  return { text: textOf(end / 60, growing), measures: judged };
}

function textOf(minutes: number, growing: readonly Judged[]): string {
  if (minutes < 0.99 * LEAST_MINUTES) return 'too short to say';
  return growing.length === 0 ? 'flat' : `not flat: ${growing.map(({ measure }) => measures[measure]).join('; ')}`;
}

function judgeOne(measure: Measure, samples: readonly Sample[]): Judged {
  const windows = windowsOf(measure, samples);
  const slopes = windows.flatMap((early, index) =>
    windows.slice(index + 1).map((late) => ((late.value - early.value) / (late.seconds - early.seconds)) * 3600),
  );
  const slope = at(slopes, 0.5);
  const noise = (at(slopes, 0.75) - at(slopes, 0.25)) / 2;
  const values = windows.map(({ value }) => value);
  const median = at(values, 0.5);
  const allowance = allowances[measure];
  const allowed = allowance && Math.max((allowance.share ?? 0) * median, allowance.of ?? 0);
  const isFlat = allowed === undefined || slope <= allowed || slope <= 2 * noise;
  return { measure, first: values[0] ?? 0, median, last: values.at(-1) ?? 0, slope, noise, allowed, isFlat };
}

/** Medians; for the heap the minimum, which is what a garbage collection left. */
function windowsOf(measure: Measure, samples: readonly Sample[]) {
  const size = Math.max(1, samples.length / WINDOWS);
  const count = Math.min(WINDOWS, samples.length);
  return Array.from({ length: count }, (_, index) => {
    const some = samples.slice(Math.round(index * size), Math.round((index + 1) * size));
    const values = some.map((sample) => sample[measure]);
    return {
      seconds: at(
        some.map(({ seconds }) => seconds),
        0.5,
      ),
      value: at(values, measure === 'heapMb' ? 0 : 0.5),
    };
  });
}

/** The value below which a share of all values lie; 0 if there are none. */
function at(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

/** A Markdown table of what was judged. */
export function table(judged: readonly Judged[]): string {
  const figure = (value: number) => value.toFixed(2);
  const rows = judged.map(({ measure, first, median, last, slope, noise, allowed, isFlat }) =>
    [
      measures[measure],
      figure(first),
      figure(median),
      figure(last),
      `${figure(slope)} ±${figure(noise)}`,
      allowed === undefined ? '' : figure(allowed),
      allowed === undefined ? 'may grow' : isFlat ? 'flat' : '**not flat**',
    ].join(' | '),
  );
  const head = ['measure', 'first', 'median', 'last', 'an hour more', 'allowed', ''];
  return [head.join(' | '), head.map(() => '---').join(' | '), ...rows].map((row) => `| ${row} |`).join('\n');
}
