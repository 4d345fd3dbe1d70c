/**
 * Declares every counter, gauge and histogram once; docs/metrics.md is generated from this file. Names follow
 * Prometheus' rules. Labels have few values (apps, codes, statuses), and never contain text that a caller chooses.
 */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { version } from './version.ts';

const PREFIX = 'webdist_';

/** Gauges among Node's default metrics whose names Prometheus reserves for counters. */
const MISNAMED = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** Buckets for durations in this process or near it, and for remote calls up to their time limits. */
const NEAR_SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5];
const FAR_SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Creates the metrics of one service, in their own registry. */
export function openMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: PREFIX });
  for (const name of MISNAMED) registry.removeSingleMetric(PREFIX + name);
  new Gauge({
    name: 'webdist_build_info',
    help: 'Always 1; the labels are the versions of webdist and Node.js.',
    labelNames: ['version', 'node'] as const,
    registers,
  }).set({ version, node: process.version }, 1);
  return {
    registry,
    ...tokenMetrics(registers),
    ...registrationMetrics(registers),
    ...dependencyMetrics(registers),
    ...doctorMetrics(registers),
    ...httpMetrics(registers),
    ...buttonMetrics(registers),
  };
}

/** All metrics, and the registry that prints them. */
export type Metrics = ReturnType<typeof openMetrics>;

const tokenMetrics = (registers: Registry[]) => ({
  installTokens: new Counter({
    name: 'webdist_install_tokens_total',
    help: 'Requested install tokens, by app, dtype, result (issued, or the error code) and source of the dtype (cookie, caller, none).',
    labelNames: ['app', 'dtype', 'result', 'source'] as const,
    registers,
  }),
  signSeconds: new Histogram({
    name: 'webdist_sign_duration_seconds',
    help: 'Duration of a signature, including failed attempts, by backend.',
    labelNames: ['signer'] as const,
    buckets: NEAR_SECONDS,
    registers,
  }),
  signFailures: new Counter({
    name: 'webdist_sign_failures_total',
    help: 'Failed signing attempts, by backend.',
    labelNames: ['signer'] as const,
    registers,
  }),
});

const registrationMetrics = (registers: Registry[]) => ({
  configFileInvalid: new Gauge({
    name: 'webdist_config_file_invalid',
    help: '1 if the file of WEBDIST_CONFIG changed and its new apps cannot be used, so that the earlier ones are served.',
    registers,
  }),
  registered: new Gauge({
    name: 'webdist_key_registered',
    help: '1 if a key held here is registered for the app, by app.',
    labelNames: ['app'] as const,
    registers,
  }),
  keySeen: new Gauge({
    name: 'webdist_key_seen_timestamp_seconds',
    help: 'When the current key was first seen as registered, in seconds since 1970, by app.',
    labelNames: ['app'] as const,
    registers,
  }),
  registrationConfirmed: new Gauge({
    name: 'webdist_registration_confirmed_timestamp_seconds',
    help: 'When App Store Connect last confirmed the registration, in seconds since 1970, by app.',
    labelNames: ['app'] as const,
    registers,
  }),
  registrationProblem: new Gauge({
    name: 'webdist_registration_problem',
    help: '1 if the last registration check found a problem, by app (or domain) and code.',
    labelNames: ['app', 'code'] as const,
    registers,
  }),
  keyProblem: new Gauge({
    name: 'webdist_key_problem',
    help: '1 if a key could not be read or opened again, by app, backend and code; the key as last read may still sign.',
    labelNames: ['app', 'backend', 'code'] as const,
    registers,
  }),
  packageNewer: new Gauge({
    name: 'webdist_package_newer',
    help: '1 if App Store Connect has a newer approved version than the package that is served, by app.',
    labelNames: ['app'] as const,
    registers,
  }),
  registrationChecks: new Counter({
    name: 'webdist_registration_checks_total',
    help: 'Registration checks that this process ran at App Store Connect; replicas that share a store take turns.',
    registers,
  }),
  appStoreConnectRequests: new Counter({
    name: 'webdist_app_store_connect_requests_total',
    help: 'Requests to App Store Connect, by method and status (none: no response).',
    labelNames: ['method', 'status'] as const,
    registers,
  }),
  appStoreConnectSeconds: new Histogram({
    name: 'webdist_app_store_connect_request_duration_seconds',
    help: 'Duration of one attempt of a request to App Store Connect, by method.',
    labelNames: ['method'] as const,
    buckets: FAR_SECONDS,
    registers,
  }),
  appStoreConnectLimit: new Gauge({
    name: 'webdist_app_store_connect_rate_limit_requests',
    help: 'Requests per hour that App Store Connect allows the API key, as last reported.',
    registers,
  }),
  appStoreConnectRemaining: new Gauge({
    name: 'webdist_app_store_connect_rate_limit_remaining_requests',
    help: 'Requests that App Store Connect still allows the API key in this hour, as last reported.',
    registers,
  }),
  clockOffsetSeconds: new Gauge({
    name: 'webdist_clock_offset_seconds',
    help: "App Store Connect's clock minus this machine's: the median of the last responses.",
    registers,
  }),
});

const doctorMetrics = (registers: Registry[]) => ({
  doctorCheck: new Gauge({
    name: 'webdist_doctor_check',
    help: '1 for the last result (ok, info, warn, fail) of a check that runs in the background, by check (WEBDIST_DOCTOR_MINUTES).',
    labelNames: ['check', 'result'] as const,
    registers,
  }),
});

const dependencyMetrics = (registers: Registry[]) => ({
  dependencyUp: new Gauge({
    name: 'webdist_dependency_up',
    help: '1 from a successful check until a request fails: ledger, ledger_read, ledger_evidence or redis.',
    labelNames: ['dependency'] as const,
    registers,
  }),
  dependencySeconds: new Histogram({
    name: 'webdist_dependency_duration_seconds',
    help: 'Duration of a request to a dependency, including failed ones, by dependency.',
    labelNames: ['dependency'] as const,
    buckets: NEAR_SECONDS,
    registers,
  }),
  ledgerFailures: new Counter({
    name: 'webdist_ledger_failures_total',
    help: 'Requests that the ledger could not answer, and evidence that it could not store.',
    registers,
  }),
  ledgerReadLag: new Gauge({
    name: 'webdist_ledger_read_lag_seconds',
    help: 'Lag of the read replica of the ledger, as last measured.',
    registers,
  }),
  redisFailures: new Counter({
    name: 'webdist_redis_failures_total',
    help: 'Requests that Redis could not count, so that this replica counted them by itself.',
    registers,
  }),
  auditLines: new Counter({
    name: 'webdist_audit_lines_total',
    help: 'Lines written to the audit log; a line counts once for each sink.',
    registers,
  }),
  auditLost: new Counter({
    name: 'webdist_audit_lost_total',
    help: 'Lines that an audit sink did not get, because too many were waiting.',
    registers,
  }),
  auditFailures: new Counter({
    name: 'webdist_audit_failures_total',
    help: 'Failed attempts to write the audit log; the lines are kept and writing is retried.',
    registers,
  }),
});

const httpMetrics = (registers: Registry[]) => ({
  logLinesLost: new Counter({
    name: 'webdist_log_lines_lost_total',
    help: 'Log lines that were dropped because stdout could not be written, or not fast enough.',
    registers,
  }),
  httpSeconds: new Histogram({
    name: 'webdist_http_request_duration_seconds',
    help: 'Time from the start of a request to the end of its response, by route and status.',
    labelNames: ['route', 'status'] as const,
    buckets: NEAR_SECONDS,
    registers,
  }),
  rateLimited: new Counter({
    name: 'webdist_rate_limited_total',
    help: 'Requests refused because of a rate limit, by limit.',
    labelNames: ['limit'] as const,
    registers,
  }),
  signInsRefused: new Counter({
    name: 'webdist_sign_ins_refused_total',
    help: "Customers' JWTs that were refused, by what is wrong: a claim, a member of the header, `key`, `signature` or `form`.",
    labelNames: ['reason'] as const,
    registers,
  }),
  connectionsRefused: new Counter({
    name: 'webdist_connections_refused_total',
    help: 'Connections closed and bodies refused because an address or a connection exceeded a limit, by reason.',
    labelNames: ['reason'] as const,
    registers,
  }),
  overloaded: new Counter({
    name: 'webdist_overloaded_total',
    help: 'Requests refused early because this process was overloaded, by reason.',
    labelNames: ['reason'] as const,
    registers,
  }),
});

const buttonMetrics = (registers: Registry[]) => ({
  buttonVisits: new Counter({
    name: 'webdist_button_visits_total',
    help: 'Visits that reached a step of the install button (shown, ready, tapped), by app; extrapolated from those that report.',
    labelNames: ['app', 'step'] as const,
    registers,
  }),
  buttonErrors: new Counter({
    name: 'webdist_button_errors_total',
    help: 'Visits in which the install button had no link, or nothing followed a tap, by app and code; extrapolated from those that report.',
    labelNames: ['app', 'code'] as const,
    registers,
  }),
  installEvidence: new Counter({
    name: 'webdist_install_evidence_total',
    help: 'Evidence of installs that counted, by app and kind (confirm: the licence server, tap: the button); repeated reports count again.',
    labelNames: ['app', 'evidence'] as const,
    registers,
  }),
});
