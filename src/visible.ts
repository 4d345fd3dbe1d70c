/**
 * Makes text from outside safe for a terminal. File names, claims, and answers of servers can contain control characters
 * that move the cursor or set the title, and bidirectional controls that change the order of the text.
 */

/** C0, DEL, C1, line separators, and the bidirectional controls (UAX #9 §2). */
const INVISIBLE = /[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu;

/** Returns text with each such character written as in JSON, such as `\u001b`. The result is one line. */
export const visible = (text: string): string =>
  text.replace(INVISIBLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

/** The same for text that has lines of its own. */
export const visibleLines = (text: string): string => text.split('\n').map(visible).join('\n');

/**
 * The same for JSON in one line that is decoded before it is shown: a decoded text has `\\u001b` instead of the character.
 * Line feeds and tabs stay.
 */
export const visibleOnceDecoded = (json: string): string =>
  visible(json).replace(/\\(.)/g, (pair, kind: string) => ('ubfr'.includes(kind) ? `\\${pair}` : pair));
