/**
 * The engine's health check of a service. An engine asks for the first time only after a whole
 * `interval`, 30 s if none is given, so that everything that waits for `service_healthy`, and every
 * step of a rolling update, takes that long although the replica answered after one second. A
 * start period about as long as the interval lets the engine ask more often without any other
 * change: in it a failure does not count, and without it nothing would have been asked.
 */
import type { Healthcheck, Service } from '../model/project.ts';
import { apiAtLeast, since } from './container-api.ts';
import type { HealthcheckBody } from './container-body.ts';
import { compact, nanosecondsAt, numberAt } from './container-read.ts';

/** What the engine takes where a service with a `test` of its own gives no interval. */
const defaultInterval = 30e9;
/** What the engine takes for a start period without `start_interval`. */
const defaultStartInterval = 5e9;
/** Two fifths of the interval, between these: a check is a process in the container. */
const shortestStartInterval = 0.4e9;
const longestStartInterval = 1e9;

/** 1 s: the engine counts the period from before it makes the process, which takes so long. */
const startAllowance = 1e9;

/** What goes to the engine, times in nanoseconds; undefined leaves the image's own check. */
export function healthcheck(spec: Service, apiVersion: string): HealthcheckBody | undefined {
  const check = spec.healthcheck;
  if (check === undefined) return undefined;
  if (check.disable === true) return { Test: ['NONE'] };
  return compact<HealthcheckBody>({
    Test: check.test,
    Interval: nanosecondsAt(check, 'interval'),
    Timeout: nanosecondsAt(check, 'timeout'),
    Retries: numberAt(check, 'retries'),
    ...start(check, apiVersion),
  });
}

type Start = Pick<
  { [Key in keyof HealthcheckBody]: HealthcheckBody[Key] | undefined },
  'StartPeriod' | 'StartInterval'
>;

/** How often the engine asks until the first success, as far as the file leaves it open. */
function start(check: Healthcheck, apiVersion: string): Start {
  const StartPeriod = nanosecondsAt(check, 'start_period');
  if (!apiAtLeast(apiVersion, since.startInterval)) return { StartPeriod };
  const StartInterval = nanosecondsAt(check, 'start_interval');
  const interval =
    nanosecondsAt(check, 'interval') ?? (check.test === undefined ? undefined : defaultInterval);
  if (StartInterval !== undefined || interval === undefined) return { StartPeriod, StartInterval };
  if (StartPeriod !== undefined && StartPeriod > 0) {
    return { StartPeriod, StartInterval: Math.min(interval, defaultStartInterval) };
  }
  if (interval <= shortestStartInterval) return { StartPeriod };
  return {
    StartPeriod: interval + Math.min(interval, startAllowance),
    StartInterval: Math.min(Math.max(interval * 0.4, shortestStartInterval), longestStartInterval),
  };
}
