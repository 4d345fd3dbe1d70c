/** Medians and their noise, for measurements in alternating rounds. */

/** A median, and half of the interquartile range of the rounds as a share of it. */
export type Figure = { readonly median: number; readonly spread: number };

export function figureOf(values: readonly number[]): Figure {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number) => {
    const place = (sorted.length - 1) * share;
    const [low = 0, high = low] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
    return low + (high - low) * (place % 1);
  };
  const median = at(0.5);
  return { median, spread: median === 0 ? 0 : (at(0.75) - at(0.25)) / median };
}

/** `74.1 ±3%` */
export const shown = ({ median, spread }: Figure, digits = 1): string =>
  `${median.toFixed(digits)} ±${Math.round((spread / 2) * 100)}%`;
