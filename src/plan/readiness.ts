/**
 * When a container may receive traffic. A health check decides if there is one; else the declared
 * TCP ports must accept connections; else it must have run for a moment. EXPOSE of the image is not
 * looked at: images declare ports that nobody opens.
 */
import type { Service } from '../model/project.ts';
import type { ContainerState, HealthState } from '../model/record.ts';
import { hasHealthcheck, monitorMsOf, optionalDurationMs } from '../view/service-spec.ts';
import { portProbeMs, portWaitMs, readyMarginMs, verdictMonitorMs } from './limits.ts';
import { extensionTargetsOf } from './published.ts';

export interface ReadinessFacts {
  readonly state: ContainerState;
  readonly health: HealthState;
  readonly startedMs: number;
  /** How often it was restarted since it was last stable; absent counts as never. */
  readonly restarts?: number;
  /** Whether every port of `probePortsOf` accepts; undefined while not looked at. */
  readonly openPorts?: boolean;
}

export interface Readiness {
  readonly ready: boolean;
  /** When to look again even if nothing happens; undefined when an event will tell. */
  readonly checkAgainAtMs: number | undefined;
  /** Said once: why it counts as ready although it is not certain. */
  readonly warning?: string;
}

/** TCP ports inside the container that must accept connections; empty: no probe is needed. */
export function probePortsOf(spec: Service): readonly number[] {
  if (hasHealthcheck(spec)) return [];
  const ports = new Set<number>(extensionTargetsOf(spec));
  for (const port of spec.ports ?? []) {
    if ((port.protocol ?? 'tcp') === 'tcp') ports.add(port.target);
  }
  for (const text of spec.expose ?? []) {
    const match = /^(\d+)(?:\/tcp)?$/.exec(text);
    if (match !== null) ports.add(Number(match[1]));
  }
  return [...ports].sort((left, right) => left - right);
}

/** The engine's own values where a health check names none. */
const healthDefaults = { intervalMs: 30_000, timeoutMs: 30_000, retries: 3 };

/**
 * How long after its start a container may take to become ready: all tries of its health check, or
 * its port's time, and a margin. Later it is reported as a failed step.
 */
export function readyDeadlineMs(spec: Service): number {
  const { healthcheck } = spec;
  if (hasHealthcheck(spec) && healthcheck !== undefined) {
    const intervalMs = optionalDurationMs(healthcheck.interval) ?? healthDefaults.intervalMs;
    const timeoutMs = optionalDurationMs(healthcheck.timeout) ?? healthDefaults.timeoutMs;
    const startMs = optionalDurationMs(healthcheck.start_period) ?? 0;
    const retries = healthcheck.retries ?? healthDefaults.retries;
    return startMs + retries * (intervalMs + timeoutMs) + readyMarginMs;
  }
  // An image's own health check is not known here: it gets the engine's values.
  const { intervalMs, timeoutMs, retries } = healthDefaults;
  return (
    Math.max(portWaitMs, monitorMsOf(spec), retries * (intervalMs + timeoutMs)) + readyMarginMs
  );
}

/** Whether a container counts as ready now, and when to ask again. */
export function isReady(spec: Service, facts: ReadinessFacts, nowMs: number): Readiness {
  if (facts.state !== 'running') return { ready: false, checkAgainAtMs: undefined };
  // The engine may know a health check that only the image declares.
  if (hasHealthcheck(spec) || (facts.health !== 'none' && spec.healthcheck?.disable !== true)) {
    return { ready: facts.health === 'healthy', checkAgainAtMs: undefined };
  }
  const ports = probePortsOf(spec);
  if (ports.length === 0) {
    // In a crash loop every run begins well.
    const leastMs = (facts.restarts ?? 0) > 0 ? verdictMonitorMs : 0;
    const readyAtMs = facts.startedMs + Math.max(leastMs, monitorMsOf(spec));
    return nowMs >= readyAtMs
      ? { ready: true, checkAgainAtMs: undefined }
      : { ready: false, checkAgainAtMs: readyAtMs };
  }
  if (facts.openPorts === true) return { ready: true, checkAgainAtMs: undefined };
  if (nowMs < facts.startedMs + portWaitMs) {
    return { ready: false, checkAgainAtMs: nowMs + portProbeMs };
  }
  return {
    ready: true,
    checkAgainAtMs: undefined,
    warning: `port ${ports.join(', ')} does not accept connections after ${portWaitMs / 1_000} s; counted as ready`,
  };
}
