#!/bin/sh
# Reduces package.json and the lock file of the image build to what the image contains: no development dependencies, and the
# vendors' SDKs only with the argument --with-sdks. Then `npm prune` and `npm sbom` need no --omit (in npm 11,
# `npm sbom --omit=dev` also omits packages that both kinds of dependencies need).
set -eu
node - "$@" <<'END'
const { readFileSync, writeFileSync } = require('node:fs');
const read = (file) => JSON.parse(readFileSync(file, 'utf8'));
const { devDependencies, peerDependencies, peerDependenciesMeta, workspaces, ...kept } = read('package.json');
if (process.argv.includes('--with-sdks')) kept.optionalDependencies = read('docker/sdks/package.json').optionalDependencies;
writeFileSync('package.json', `${JSON.stringify(kept, null, 2)}\n`);
END
npm install --package-lock-only --offline --ignore-scripts --no-audit --no-fund --loglevel=error
