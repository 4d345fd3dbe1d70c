#!/bin/sh
# What the image's node_modules holds, with versions, hashes and licences, as CycloneDX JSON on stdout: by the lock file,
# so the same input gives the same output. Takes what `npm prune` was told to leave out: --omit=dev …
set -eu
npm sbom --package-lock-only --sbom-format cyclonedx --sbom-type application "$@" |
  node -e '
    const bom = JSON.parse(require("node:fs").readFileSync(0));
    delete bom.serialNumber;
    delete bom.metadata.timestamp;
    console.log(JSON.stringify(bom, undefined, 1));'
