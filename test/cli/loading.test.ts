/** Each command loads only what it needs: a fast start, and nothing of the sandbox in production. */

import t, { type Test } from 'tap';
import { temporaryFolder } from '../harness/folder.ts';
import { runWebdist } from '../harness/process.ts';
import { startSandbox } from '../harness/sandbox.ts';
import { isReady } from '../harness/service.ts';
import { until } from '../harness/until.ts';

/** Prints the files of `src` and the packages that a process has loaded since its first own file, when it exits. */
const recorder = `
  import { registerHooks } from 'node:module';
  const loaded = new Set();
  registerHooks({
    load(url, context, next) {
      const found = /node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url) ?? /\\/(src\\/.+)$/.exec(url);
      // Modules that tap loads in every process come earlier.
      if (found && (loaded.size > 0 || found[1] === 'src/main.ts')) loaded.add(found[1]);
      return next(url, context);
    },
  });
  process.on('exit', () => console.error('loaded ' + JSON.stringify([...loaded].sort())));
`;
const NODE_OPTIONS = `--import data:text/javascript,${encodeURIComponent(recorder)}`;

const run = (t: Test, args: readonly string[], env: Record<string, string> = {}) =>
  runWebdist(t, args, { NODE_OPTIONS, ...env });

async function loadedBy({ exited, output }: ReturnType<typeof run>): Promise<string[]> {
  await exited;
  return JSON.parse(/^loaded (.+)$/m.exec(output())?.[1] ?? 'null');
}

t.test('describing the command line needs no package except commander', async (t) => {
  for (const args of [['--version'], ['--help'], ['help', 'keys'], ['docter'], ['packages', 'pull', '--help']]) {
    const loaded = await loadedBy(run(t, args));
    const others = loaded.filter(
      (name) =>
        !/^src\/(main|errors|host|node-http|version|visible|locators|config\/(log-level|problems|proxy)|cloud\/(boundary|sdk|vendor-error)|install-token\/country-codes|cli\/(change-options|init\/format-names|invocation|main|program|failure|option-values|stderr|serve\/signals|[\w-]+\/command))\.ts$/.test(
          name,
        ),
    );
    t.strictSame(others, ['commander'], args.join(' '));
  }
});

t.test('serve loads neither the sandbox nor the code of other commands', async (t) => {
  const { settings } = await startSandbox(t);
  const serving = run(t, ['serve'], { ...settings, PORT: '0', WEBDIST_DATA_DIR: temporaryFolder(t) });
  await isReady(await until(() => /"address":"([^"]+)"/.exec(serving.output())?.[1], serving.output));
  serving.child.kill('SIGINT');
  const loaded = await loadedBy(serving);
  t.ok(loaded.includes('src/http/server.ts') && loaded.includes('fastify'), 'it is the service');
  const idle =
    /^(src\/(sandbox|doctor)\/|src\/packages\/(pull|download|verify|archive|serve)\.ts|fflate$|pino-pretty$)/;
  t.strictSame(
    loaded.filter((name) => idle.test(name)),
    [],
  );
});

t.test('packages pull loads no server', async (t) => {
  const { settings } = await startSandbox(t);
  const pulling = run(t, ['packages', 'pull'], { ...settings, WEBDIST_DATA_DIR: temporaryFolder(t) });
  const loaded = await loadedBy(pulling);
  t.ok(loaded.includes('src/packages/pull.ts'), pulling.output());
  t.strictSame(
    // The settings take the kinds of ledgers from the table of backends, and those of evidence from the rule.
    loaded.filter((name) =>
      /^(src\/(http|ledger(?!\/(ledger|postgres-url|rule)\.ts)|sandbox|doctor)\/|fastify|pg|ioredis)/.test(name),
    ),
    [],
  );
});
