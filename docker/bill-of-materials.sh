#!/bin/sh
# Prints the contents of the image's node_modules (versions, hashes, licences) as CycloneDX JSON. It reads the lock file that
# production-package.sh reduced, so the same input gives the same output.
set -eu
npm sbom --package-lock-only --sbom-format cyclonedx --sbom-type application |
  node -e '
    const bom = JSON.parse(require("node:fs").readFileSync(0));
    delete bom.serialNumber;
    delete bom.metadata.timestamp;
    console.log(JSON.stringify(bom, undefined, 1));'
