#!/bin/sh
# Prints the contents of the image's node_modules (versions, hashes, licences) as CycloneDX JSON. It reads the lock file, so the
# same input gives the same output. Takes the options that `npm prune` was given: --omit=dev …
set -eu
npm sbom --package-lock-only --sbom-format cyclonedx --sbom-type application "$@" |
  node -e '
    const bom = JSON.parse(require("node:fs").readFileSync(0));
    delete bom.serialNumber;
    delete bom.metadata.timestamp;
    console.log(JSON.stringify(bom, undefined, 1));'
