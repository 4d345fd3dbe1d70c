/** The version of webdist that is running, and the Node.js that it needs, from package.json. */

import { readFileSync } from 'node:fs';

const { version, engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
  engines: { node: string };
};

/** Semantic version, e.g. `1.2.3`. */
export { version };

/** Returns why a version of Node.js cannot run webdist, such as `20.1.0`; undefined if it can. */
export function nodeProblem(running: string): string | undefined {
  const needed = /\d+/.exec(engines.node)?.[0];
  return Number.parseInt(running, 10) < Number(needed)
    ? `This is Node.js ${running}, but webdist needs Node.js ${needed} or later; in a checkout, npm ci installs one and npm start uses it.`
    : undefined;
}
