/** A service whose stdout is the test's: a file, a device or a pipe. */

import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Test } from 'tap';
import { temporaryFolder } from '../../harness/folder.ts';
import { freePort, untilListening } from '../../harness/port.ts';
import { spawnNode } from '../../harness/process.ts';
import { settingsIn } from '../../harness/service.ts';
import { until } from '../../harness/until.ts';

const API_KEY = 'key-of-the-shop';
const sha256 = createHash('sha256').update(API_KEY).digest('hex');

export type Served = {
  readonly url: string;
  readonly child: ChildProcess;
  /** Requests tokens, and counts them. */
  issue(tokens: number): Promise<void>;
  readonly issued: number;
  /** The metric. */
  lost(): Promise<number>;
  /** Health answers; SIGTERM leads to an orderly shutdown. */
  stop(): Promise<void>;
};

/** A service that writes its log to `stdout`, and its stderr, which must stay empty. */
export async function serve(t: Test, stdout: number | 'pipe', within: readonly string[] = []): Promise<Served> {
  const folder = temporaryFolder(t);
  const port = await freePort();
  const env = settingsIn(folder, {
    PORT: String(port),
    WEBDIST_API_KEYS: `shop:${sha256}`,
    WEBDIST_DRAIN_SECONDS: '0',
  });
  const main = ['--disable-warning=ExperimentalWarning', '--', 'src/main.ts', 'serve'];
  const child = spawnNode(main, env, { stdio: ['ignore', stdout, 'pipe'], within });
  const exited = once(child, 'exit');
  t.teardown(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  let stderr = '';
  child.stderr?.on('data', (chunk) => (stderr += chunk));
  await untilListening(port);
  const url = `http://127.0.0.1:${port}`;
  const ready = () => fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(5000) });
  await until(async () => (await ready()).ok, 'readiness');
  let issued = 0;
  return {
    url,
    child,
    get issued() {
      return issued;
    },
    async issue(tokens) {
      for (let done = 0; done < tokens; done += 100) {
        const requests = Array.from({ length: 100 }, (_, index) => ({
          app: '6500000001',
          subject: `visitor-${done + index}`,
        }));
        const response = await fetch(`${url}/install-tokens`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${API_KEY}` },
          body: JSON.stringify({ requests }),
          signal: AbortSignal.timeout(10_000),
        });
        const granted = (await response.text()).split('"token":').length - 1;
        if (granted !== 100) throw new Error(`${response.status}: ${granted} tokens`);
        issued += granted;
      }
    },
    async lost() {
      const metrics = await (await fetch(`${url}/metrics`)).text();
      return Number(/^webdist_log_lines_lost_total (\d+)$/m.exec(metrics)?.[1]);
    },
    async stop() {
      t.equal((await ready()).status, 200, 'health answers');
      child.kill('SIGTERM');
      const [code] = (await exited) as [number | null];
      t.equal(code, 0, 'exit code');
      t.equal(stderr, '', 'nothing on stderr');
    },
  };
}
