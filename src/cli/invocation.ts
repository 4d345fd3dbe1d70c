/** How `webdist` is called in this installation, for advice that a reader can copy. */

import { resolve } from 'node:path';

const room = resolve(import.meta.dirname, '..');

/** From a checkout, installed as a package (`npx` also finds one that is installed globally), or from a build. */
export const invocation: string = import.meta.filename.endsWith('.ts')
  ? 'npm run -s webdist --'
  : room.includes('/node_modules/')
    ? 'npx webdist'
    : 'node -- dist/main.js';

/** `webdist` before the name of a command. Messages are written with that word, wherever they come from. */
const COMMAND =
  /\bwebdist (?=(?:api-keys|api-token|apps|audit|backup|completion|config|doctor|domains|init|keygen|keys|ledger|packages|restore|sandbox|serve|status|token|whoami)\b)/g;

/** Returns advice with the commands as they are called in this installation. */
export const advised = (text: string): string => text.replace(COMMAND, `${invocation} `);
