/** Starts the simulated App Store Connect in this process, and controls it. */

import type { Test } from 'tap';
import { openSandbox, type Sandbox, type SandboxOptions } from '../../src/sandbox/sandbox.ts';
import { temporaryFolder } from './folder.ts';

/** A sandbox with a new account, closed with the test. */
export async function startSandbox(t: Test, options: Partial<SandboxOptions> = {}): Promise<Sandbox> {
  const sandbox = await openSandbox({ dataDir: temporaryFolder(t), ...options });
  t.teardown(() => sandbox.close());
  return sandbox;
}

/** The requests that the sandbox received, as `POST /v1/…`, optionally of one method. */
export async function requestsSeen(sandbox: Sandbox, method?: string): Promise<string[]> {
  const answer = await fetch(`${sandbox.baseUrl}/_sandbox/requests`);
  const seen = (await answer.json()) as { method: string; path: string }[];
  return seen.filter((one) => method === undefined || one.method === method).map((one) => `${one.method} ${one.path}`);
}

export async function setFault(sandbox: Sandbox, fault: object): Promise<void> {
  const body = JSON.stringify(fault);
  const answer = await fetch(`${sandbox.baseUrl}/_sandbox/faults`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json' },
  });
  if (!answer.ok) throw new Error(await answer.text());
}

export async function endFaults(sandbox: Sandbox): Promise<void> {
  await fetch(`${sandbox.baseUrl}/_sandbox/faults`, { method: 'DELETE' });
}
