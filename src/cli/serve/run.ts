/** `webdist serve`: starts the service, and shuts it down on a signal. */

import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import type { DestinationStream, Logger } from 'pino';
import { type Config, configOf, dataDirOf, processEnvironment, processSettings } from '../../config/config.ts';
import { withSandbox } from '../../config/read.ts';
import type { Environment } from '../../environment.ts';
import { listenError } from '../../host.ts';
import { buildServer, type Server } from '../../http/server.ts';
import { openLog } from '../../log.ts';
import { type LogOutput, type LossListener, openStdout } from '../../log-output.ts';
import type { Metrics } from '../../metrics.ts';
import { systemClock } from '../../registration/clock.ts';
import type { Sandbox } from '../../sandbox/sandbox.ts';
import { type OpenedService, openService, type Service } from '../../service/service.ts';
import { openTracing } from '../../tracing/open.ts';
import { type Tracing, traceIds } from '../../tracing/tracing.ts';
import { visibleOnceDecoded } from '../../visible.ts';
import { invocation } from '../invocation.ts';
import { writeStderr } from '../stderr.ts';
import { followFiles } from './follow-files.ts';
import { keepCodeWhileIdle } from './idle-memory.ts';
import type { Signals } from './signals.ts';

/** Requests that take longer than this after draining are aborted. */
const CLOSE_MS = 6000;

/** The log as readable lines, in which no text from outside can control the terminal. */
async function openTerminal(): Promise<DestinationStream> {
  const pretty = (await import('pino-pretty')).PinoPretty({ sync: true });
  return { write: (line) => void pretty.write(`${visibleOnceDecoded(line.trimEnd())}\n`) };
}

/** Starts the service; it runs until a signal ends the process. Throws `config_invalid`, `key_*` or `state_invalid`. */
export async function serve(signals: Signals): Promise<void> {
  keepCodeWhileIdle();
  const own = processSettings();
  const sandbox = own.mode === 'sandbox' ? await openOwnSandbox(dataDirOf(own.values)) : undefined;
  const env: Environment = { ...processEnvironment(), ...sandbox?.settings };
  const config = configOf(sandbox ? withSandbox(own, sandbox.settings) : own);
  // Readable lines at a terminal, JSON everywhere else.
  const output = process.stdout.isTTY ? undefined : openStdout();
  const log = openLog(config.logLevel, output ?? (await openTerminal()), config.tracing && traceIds);
  for (const { variable, message } of config.warnings) log.warn({ event: 'setting_ignored', variable }, message);
  for (const { variable, message } of config.packageUrlWarnings)
    log.warn({ event: 'package_url_unusable', variable }, message);
  await startJitter(config.startJitterSeconds, log);
  const tracing = config.tracing && (await openTracing(config.tracing, log));
  const opened = await openService(config, { env, log, tracing });
  const { service, serverDeps } = opened;
  output?.listen(lossListener(serverDeps.metrics, log));
  // The sandbox has its own app.
  const { apiKeys, readApps } = followFiles(sandbox ? { ...env, WEBDIST_CONFIG: undefined } : env, config, opened);
  const server = await buildServer({
    ...serverDeps,
    apiKeys,
    ...(sandbox && { pages: await demoPages(sandbox, config, service) }),
  });
  const address = await listen(server.app, config.listen, '');
  if (server.operators && config.operator) {
    const operators = await listen(server.operators, config.operator, 'WEBDIST_OPERATOR_');
    log.info({ event: 'operator_port', address: operators }, `operators: listening on ${operators}`);
  }
  announce(config, address, log);
  const stopDoctor = await checkInBackground(config, env, opened);
  const running = { server, service, stopDoctor, sandbox, tracing, log, output, drainMs: config.drainSeconds * 1000 };
  signals.shutDownWith((signal) => void shutDown(signal, running));
  signals.reopenWith(() => {
    service
      .reopenFiles()
      .catch((err) => log.error({ event: 'audit_not_written', err }, 'the audit file cannot be opened again'));
  });
  signals.reconcileWith(async () => {
    await readApps();
    await service.reconcile();
  });
}

/** Waits for a random part of the time. A stop signal ends the process meanwhile. */
async function startJitter(seconds: number, log: Logger): Promise<void> {
  if (seconds === 0) return;
  const waitSeconds = Math.random() * seconds;
  log.info({ event: 'start_delayed', waitSeconds }, `starting in ${waitSeconds.toFixed(1)} s`);
  await delay(waitSeconds * 1000);
}

/** Starts the checks in the background, if they are configured; returns the function that ends them. */
async function checkInBackground({ doctor }: Config, env: Environment, { serverDeps }: OpenedService) {
  if (!doctor) return undefined;
  const { startBackgroundDoctor } = await import('../../doctor/background.ts');
  const options = { env, ...(doctor.publicUrl && { publicUrl: new URL(doctor.publicUrl) }) };
  return startBackgroundDoctor(options, doctor.everyMinutes * 60_000, { ...serverDeps, clock: systemClock });
}

/** Loads the simulated App Store Connect for sandbox mode; in production it is never imported. */
async function openOwnSandbox(dataDir: string): Promise<Sandbox> {
  const { openSandbox } = await import('../../sandbox/sandbox.ts');
  return openSandbox({ dataDir });
}

async function demoPages(sandbox: Sandbox, { domain, docs, operator }: Config, { reconcile }: Service) {
  const { demoPage } = await import('../../sandbox/website/demo-page.ts');
  const { sandboxWebsite } = await import('../../sandbox/website/website.ts');
  const pages: FastifyPluginAsyncZod = async (app) => {
    const forOperators = [...(docs ? ['/docs'] : []), '/health/ready', '/metrics'];
    const links = ['/problems', '/.well-known/jwks.json', ...(operator ? [] : forOperators)];
    await app.register(demoPage({ sandbox, domain, links, released: reconcile }));
    await app.register(sandboxWebsite(sandbox));
  };
  return pages;
}

const lossListener = (metrics: Metrics, log: Logger): LossListener => ({
  count: (lines) => metrics.logLinesLost.inc(lines),
  report: (lines) =>
    log.warn(
      { event: 'log_lines_lost', lines },
      `${lines} log lines were lost: stdout could not be written fast enough`,
    ),
});

async function listen(
  app: Server['app'],
  address: Config['listen'],
  prefix: 'WEBDIST_OPERATOR_' | '',
): Promise<string> {
  try {
    return await app.listen(address);
  } catch (cause) {
    throw listenError(cause, address, { host: `${prefix}HOST`, port: `${prefix}PORT` });
  }
}

function announce(config: Config, address: string, log: Logger): void {
  log.info(
    { event: 'listening', address, mode: config.mode, apps: config.apps.map((app) => app.bundleId) },
    `listening on ${address}`,
  );
  if (config.mode !== 'sandbox') return;
  const page = address.replace(/127\.0\.0\.1|\[::1?\]/, 'localhost');
  log.warn({ event: 'sandbox_mode' }, 'SANDBOX MODE: Apple is simulated; real devices refuse these tokens');
  writeStderr(
    [
      '',
      '  webdist runs in SANDBOX MODE: App Store Connect and the iPhone are simulated.',
      `  Open ${page}/ and tap Install, or: curl -s -X POST ${page}/install-token -H 'content-type: application/json' -d '{}'`,
      '',
      '  For production, set WEBDIST_DOMAIN, WEBDIST_APPLE_ITEM_ID, WEBDIST_BUNDLE_ID, WEBDIST_KEY,',
      `  ASC_KEY_ID, ASC_ISSUER_ID and ASC_PRIVATE_KEY, or let "${invocation} init" ask for them. See docs/first-install.md.`,
      '',
      '',
    ].join('\n'),
  );
}

type Running = {
  server: Server;
  service: Service;
  stopDoctor: (() => void) | undefined;
  sandbox: Sandbox | undefined;
  tracing: Tracing | undefined;
  log: Logger;
  output: LogOutput | undefined;
  /** How long the process still answers after SIGTERM, so that load balancers notice before it stops listening. */
  drainMs: number;
};

/** Reports not ready, drains, then closes, so that no request in flight is lost; ends the process. */
async function shutDown(signal: NodeJS.Signals, running: Running): Promise<void> {
  const { server, service, stopDoctor, sandbox, tracing, log, output, drainMs } = running;
  log.info({ event: 'shutting_down', signal }, 'shutting down');
  // Ctrl-C comes from a developer, so there is no load balancer that has to notice.
  const drainedMs = signal === 'SIGTERM' ? drainMs : 0;
  const overdue = () => {
    log.error({ event: 'shutdown_overdue' }, 'some requests did not end in time');
    process.exit(1);
  };
  setTimeout(overdue, drainedMs + CLOSE_MS).unref();
  server.drain();
  stopDoctor?.();
  await delay(drainedMs);
  await server.close();
  await service.close();
  await sandbox?.close();
  await tracing?.close();
  log.info({ event: 'shut_down' }, 'shut down');
  await output?.flush();
  process.exit(0);
}
