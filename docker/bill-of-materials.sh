#!/bin/sh
# Prints what is in node_modules (versions, hashes, licences) and the components in the file SYSTEM_COMPONENTS, if it is set, as
# CycloneDX JSON. It reads the lock file that production-package.sh reduced, so the same input gives the same output.
set -eu
npm sbom --package-lock-only --sbom-format cyclonedx --sbom-type application |
  node -e '
    const { readFileSync } = require("node:fs");
    const bom = JSON.parse(readFileSync(0));
    delete bom.serialNumber;
    delete bom.metadata.timestamp;
    const { SYSTEM_COMPONENTS } = process.env;
    if (SYSTEM_COMPONENTS) bom.components.push(...JSON.parse(readFileSync(SYSTEM_COMPONENTS)));
    console.log(JSON.stringify(bom, undefined, 1));'
