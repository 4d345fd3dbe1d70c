/** The memory that a pull needs does not grow with the package. */

import t from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { runWebdist } from '../../harness/process.ts';
import { startLargeSource } from './large-source.ts';

/** Prints a process's peak resident memory when it exits. */
const peak = "process.on('exit',()=>console.error('peak '+process.resourceUsage().maxRSS/1000+' MB'))";

async function peakOfPull(t: Parameters<typeof temporaryFolder>[0], megabytes: number): Promise<number> {
  const source = await startLargeSource(megabytes);
  t.teardown(source.close);
  const env = {
    ...source.settings,
    WEBDIST_PACKAGES_DIR: temporaryFolder(t),
    WEBDIST_DATA_DIR: temporaryFolder(t),
    NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(peak)}`,
  };
  const pull = runWebdist(t, ['packages', 'pull'], env);
  t.equal(await pull.exited, 0, pull.output());
  const found = Number(/peak ([\d.]+) MB/.exec(pull.output())?.[1]);
  t.comment(`${megabytes} MiB: ${found} MB`);
  return found;
}

t.test('256 MiB need hardly more memory than 16 MiB', async (t) => {
  const [small, large] = [await peakOfPull(t, 16), await peakOfPull(t, 256)];
  t.ok(large - small < 60, `${small} MB and ${large} MB`);
});
