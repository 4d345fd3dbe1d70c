/** Advice names each command as it is called in this installation. */

import t from 'tap';
import { advised } from '../../src/cli/invocation.ts';
import { buildProgram } from '../../src/cli/program.ts';

for (const command of buildProgram().commands)
  t.equal(advised(`Run webdist ${command.name()}.`), `Run npm run -s webdist -- ${command.name()}.`);

const unchanged = ['Read the log of webdist.', 'webdist could repair it', 'a webdist service', 'mywebdist keys'];
for (const text of unchanged) t.equal(advised(text), text);
t.equal(
  advised('`webdist keys list`, then webdist domains add a.example'),
  '`npm run -s webdist -- keys list`, then npm run -s webdist -- domains add a.example',
);
