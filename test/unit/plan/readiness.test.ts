import { describe, expect, test } from 'vitest';
import { isReady, probePortsOf, readyDeadlineMs } from '../../../src/plan/readiness.ts';

const running = { state: 'running', health: 'none', startedMs: 1_000 } as const;

test('what does not run is not ready', () => {
  expect(isReady({}, { ...running, state: 'exited' }, 90_000).ready).toBe(false);
  expect(isReady({}, { ...running, state: 'paused' }, 90_000).ready).toBe(false);
});

describe('a health check decides when there is one', () => {
  const spec = { healthcheck: { test: ['CMD', 'true'] }, ports: [{ target: 80 }] };
  test.each([
    ['healthy', true],
    ['starting', false],
    ['unhealthy', false],
    ['none', false],
  ] as const)('%s: %s', (health, ready) => {
    const facts = { ...running, health, openPorts: true };
    expect(isReady(spec, facts, 90_000)).toEqual({ ready, checkAgainAtMs: undefined });
  });

  test('also when only the image declares it, unless the file disables it', () => {
    expect(isReady({}, { ...running, health: 'starting' }, 90_000).ready).toBe(false);
    const disabled = { healthcheck: { disable: true } };
    expect(isReady(disabled, { ...running, health: 'starting' }, 90_000).ready).toBe(true);
  });
});

describe('declared TCP ports must accept', () => {
  const spec = { ports: [{ target: 80 }] };

  test('until then it is asked again soon', () => {
    expect(isReady(spec, { ...running, openPorts: false }, 5_000)).toEqual({
      ready: false,
      checkAgainAtMs: 5_250,
    });
    expect(isReady(spec, running, 5_000).ready).toBe(false);
  });

  test('an open port is ready at once', () => {
    expect(isReady(spec, { ...running, openPorts: true }, 1_001).ready).toBe(true);
  });

  test('after 30 s it counts as ready, with a warning', () => {
    expect(isReady(spec, { ...running, openPorts: false }, 30_999).ready).toBe(false);
    const late = isReady(spec, { ...running, openPorts: false }, 31_000);
    expect(late.ready).toBe(true);
    expect(late.warning).toContain('port 80');
  });
});

describe('without check and ports it must run for a moment', () => {
  test('one second by default', () => {
    expect(isReady({}, running, 1_999)).toEqual({ ready: false, checkAgainAtMs: 2_000 });
    expect(isReady({}, running, 2_000)).toEqual({ ready: true, checkAgainAtMs: undefined });
  });

  test('as long as `monitor` says', () => {
    const spec = { deploy: { update_config: { monitor: '5s' } } };
    expect(isReady(spec, running, 5_999).checkAgainAtMs).toBe(6_000);
  });
});

test('ports to probe come from ports, expose and x-ports, only TCP, and not beside a check', () => {
  const spec = {
    ports: [{ target: 443 }, { target: 53, protocol: 'udp' }],
    expose: ['9000', '9001/tcp', '9002/udp', '443'],
    'x-ports': ['app.example.com:8000/https', '53:5353/udp'],
  };
  expect(probePortsOf(spec)).toEqual([443, 8000, 9000, 9001]);
  expect(probePortsOf({ ...spec, healthcheck: { test: ['CMD', 'true'] } })).toEqual([]);
});

test('what was restarted must run for five seconds, as every run of a crash loop begins well', () => {
  const facts = { state: 'running', health: 'none', startedMs: 1_000 } as const;
  expect(isReady({}, facts, 2_000).ready).toBe(true);
  expect(isReady({}, { ...facts, restarts: 1 }, 5_999)).toEqual({
    ready: false,
    checkAgainAtMs: 6_000,
  });
  expect(isReady({}, { ...facts, restarts: 1 }, 6_000).ready).toBe(true);
});

test('the time to become ready covers all tries of a health check, with the engine’s defaults', () => {
  const healthcheck = { test: ['CMD', 'true'], interval: '1s', timeout: '2s', retries: 3 };
  expect(readyDeadlineMs({ healthcheck })).toBe(39_000);
  expect(readyDeadlineMs({ healthcheck: { ...healthcheck, start_period: '1m' } })).toBe(99_000);
  expect(readyDeadlineMs({ healthcheck: { test: ['CMD', 'true'] } })).toBe(210_000);
  expect(readyDeadlineMs({})).toBe(210_000);
});
