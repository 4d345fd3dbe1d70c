/** How `webdist` is called in this installation, for advice that a reader can copy. */

import { basename, dirname, resolve } from 'node:path';

const room = resolve(import.meta.dirname, '..');
const isBuilt = import.meta.filename.endsWith('.js');
const isPackage = dirname(room).includes('/node_modules/');

/** From a checkout, from a build of it, or installed as a package. */
export const invocation: string = !isBuilt
  ? 'npm run -s webdist --'
  : isPackage
    ? 'webdist'
    : `node ${basename(room)}/main.js`;
