/**
 * Finds the name that an operator probably meant. The small libraries for this (leven, fastest-levenshtein) count two swapped letters,
 * the most common slip, as two changes.
 */

/** With more changes than this, it is another word, not a typing mistake. */
const MAX_CHANGES = 3;

/** Returns the name that differs least from `word`; undefined if none is similar. */
export function mostSimilar(word: string, names: readonly string[]): string | undefined {
  const [nearest] = names
    .map((name) => ({ name, changes: changesBetween(word, name) }))
    .filter(({ changes }) => changes <= Math.min(MAX_CHANGES, word.length / 4))
    .sort((one, other) => one.changes - other.changes);
  return nearest?.name;
}

/** The least number of letters to insert, delete or replace, or of neighbours to swap (optimal string alignment). */
function changesBetween(one: string, other: string): number {
  let [beforeLast, last]: number[][] = [[], Array.from({ length: other.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= one.length; row++) {
    const next = [row];
    for (let column = 1; column <= other.length; column++) {
      const isSame = one[row - 1] === other[column - 1];
      const isSwapped = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      next[column] = Math.min(
        (last?.[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (last?.[column - 1] ?? 0) + (isSame ? 0 : 1),
        isSwapped ? (beforeLast?.[column - 2] ?? Number.POSITIVE_INFINITY) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [beforeLast, last] = [last, next];
  }
  return last?.[other.length] ?? 0;
}
