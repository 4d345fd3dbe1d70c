#!/bin/sh
# Removes from node_modules what a running service never reads: types, source maps, tests, documentation, builds for
# browsers. Keeps licence texts. Runs during the image build, in the folder that contains node_modules.
set -eu
cd node_modules

find . -type f \( -name '*.map' -o -name '*.ts' -o -name '*.mts' -o -name '*.cts' -o -name '*.tsbuildinfo' \
  -o -name '*.flow' -o -name '*.gyp' -o -name '*.gypi' -o -name '*.o' -o -name '*.a' \
  -o -name '.npmignore' -o -name '.gitattributes' -o -name '.editorconfig' -o -name '.eslintrc*' -o -name '.prettierrc*' \
  -o -name '*.md' -o -name '*.markdown' \) ! -iname 'licen[cs]e*' ! -iname 'notice*' -delete
# Only folders of tests and examples, not modules inside a package's code that happen to have such a name.
find . -type d \( -name .github -o -name __tests__ -o -path '*/node_modules/*/test' -o -path './*/test' -o -path './*/tests' \
  -o -path './*/benchmark' -o -path './*/benchmarks' -o -path './*/bench' -o -path './*/example' -o -path './*/examples' \) \
  -prune -exec rm -rf {} +
find . -type d \( -path '*/dist/browser' -o -path '*/dist/react-native' -o -path '*/dist/workerd' \) -prune -exec rm -rf {} +

# Next to the module that Node loads; only browsers load these.
rm -rf @azure/msal-browser web-streams-polyfill/dist/polyfill* pkcs11js/build/Release/obj.target pkcs11js/src
# Links to the packages' own commands, and npm's list of what it installed.
find . -type d -name .bin -prune -exec rm -rf {} +
rm -f .package-lock.json
# Packages that contain only types.
rm -rf @types
find . -type d -empty -delete

# Every dependency that was kept must still load.
cd ..
node --input-type=module -e '
  import { existsSync, readFileSync } from "node:fs";
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync("package.json"));
  for (const name of Object.keys({ ...dependencies, ...optionalDependencies }))
    if (existsSync(`node_modules/${name}`)) await import(name);
    else if (dependencies[name]) throw new Error(`${name} is gone`);'
