/** The systemd unit starts what the build has, with settings that exist and enough time to stop; systemd accepts it. */

import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { settings } from '../../src/config/settings.ts';

const PATH = 'deploy/systemd/webdist.service';
const entries = readFileSync(PATH, 'utf8')
  .split('\n')
  .filter((line) => /^\w+=/.test(line))
  .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const);
const all = (name: string) => entries.filter(([key]) => key === name).map(([, value]) => value);

t.test('settings and credentials', async (t) => {
  const variables = all('Environment').map((text) => text.split('=') as [string, string]);
  for (const [name] of variables) t.ok(name === 'NODE_ENV' || Object.hasOwn(settings, name), name);
  const credentials = all('LoadCredential').map((text) => text.split(':')[0]);
  t.strictSame(
    variables.flatMap(([, value]) => value.match(/%d\/(.+)/)?.[1] ?? []),
    credentials,
    'every credential is used',
  );
  const drain = Number(settings.WEBDIST_DRAIN_SECONDS.default);
  t.equal(Number(all('TimeoutStopSec')[0]), drain + 12, 'time to drain and to finish requests');
});

t.test('the command line is one that Node.js and webdist accept', async (t) => {
  const [command = ''] = all('ExecStart');
  const [, ...args] = command.split(' ');
  const script = args.indexOf('/opt/webdist/dist/main.js');
  t.ok(script > 0);
  const help = execFileSync(process.execPath, [...args.slice(0, script), 'src/main.ts', 'serve', '--help'], {
    encoding: 'utf8',
  });
  t.match(help, /Usage: webdist serve/);
});

const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;
t.test(
  'systemd-analyze verify',
  { skip: !hasSystemd && 'systemd-analyze is not installed (Debian: systemd)' },
  async (t) => {
    const { stderr } = spawnSync('systemd-analyze', ['verify', PATH], { encoding: 'utf8' });
    // It also reports that the programs of the unit are not installed on this machine.
    const problems = stderr
      .split('\n')
      .filter((line) => line.includes('webdist.service') && !/is not executable/.test(line));
    t.strictSame(problems, []);
  },
);
