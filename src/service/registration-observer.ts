/** Records metrics and traces of the registration, whose own code contains neither. */

import type { RequestAttempt } from '../app-store-connect/http.ts';
import type { Metrics } from '../metrics.ts';
import type { ReplicaReport } from '../orders/store-contract.ts';
import type { RegistrationObserver } from '../registration/observer.ts';
import { ended, type Tracing, traced } from '../tracing/tracing.ts';

/** How this process uses App Store Connect, for `webdist status`. */
export type AppleUse = ReplicaReport['apple'];

export function observeRegistration(
  metrics: Metrics,
  tracing: Tracing | undefined,
  now: () => number,
): RegistrationObserver & { readonly apple: AppleUse } {
  let apple: AppleUse = { limit: null, remaining: null, checkedAt: null };
  return {
    get apple() {
      return apple;
    },
    check(work) {
      metrics.registrationChecks.inc();
      apple = { ...apple, checkedAt: new Date(now()).toISOString() };
      return traced(tracing, 'registration check', work);
    },
    changed(apps, domain, clockOffsetSeconds) {
      if (clockOffsetSeconds !== undefined) metrics.clockOffsetSeconds.set(clockOffsetSeconds);
      metrics.registrationProblem.reset();
      metrics.keyProblem.reset();
      for (const { app, state, canSign, candidates } of apps) {
        const labels = { app: app.bundleId };
        for (const { backend, problem } of candidates)
          if (problem) metrics.keyProblem.set({ ...labels, backend, code: problem.code }, 1);
        metrics.registered.set(labels, canSign ? 1 : 0);
        if (state.registered) metrics.keySeen.set(labels, Date.parse(state.registered.seenAt) / 1000);
        if (state.problem) metrics.registrationProblem.set({ ...labels, code: state.problem.code }, 1);
        else if (state.confirmed) metrics.registrationConfirmed.setToCurrentTime(labels);
      }
      if (domain.problem) metrics.registrationProblem.set({ app: 'domain', code: domain.problem.code }, 1);
    },
    attempted(attempt, { clockOffsetSeconds, rateLimit }) {
      const { method, status, durationSeconds } = attempt;
      metrics.appStoreConnectRequests.inc({ method, status: status ?? 'none' });
      metrics.appStoreConnectSeconds.observe({ method }, durationSeconds);
      if (clockOffsetSeconds !== undefined) metrics.clockOffsetSeconds.set(clockOffsetSeconds);
      if (rateLimit) {
        apple = { ...apple, ...rateLimit };
        metrics.appStoreConnectLimit.set(rateLimit.limit);
        metrics.appStoreConnectRemaining.set(rateLimit.remaining);
      }
      recordSpan(attempt);
    },
  };
}

/** Removes the values of apps that are no longer served. */
export function forgetApps(metrics: Metrics, bundleIds: readonly string[]): void {
  const { registered, keySeen, registrationConfirmed, packageNewer } = metrics;
  for (const gauge of [registered, keySeen, registrationConfirmed, packageNewer])
    for (const app of bundleIds) gauge.remove({ app });
}

/**
 * A client span by OpenTelemetry's conventions, without the query.
 * https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span
 */
function recordSpan({ method, url, status, durationSeconds }: RequestAttempt): void {
  const { hostname, port, protocol } = new URL(url);
  ended(method, {
    kind: 'client',
    seconds: durationSeconds,
    attributes: {
      'peer.service': 'app-store-connect',
      'http.request.method': method,
      'server.address': hostname,
      'server.port': Number(port || (protocol === 'https:' ? 443 : 80)),
      'url.full': url,
      ...(status !== undefined && { 'http.response.status_code': status }),
    },
    errorType: status === undefined ? 'no_answer' : status >= 400 ? String(status) : undefined,
  });
}
