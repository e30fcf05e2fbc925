/**
 * The projects that users of the simulation bring up: everything a rollout can meet is in some of
 * them. Services keep their names, so that one change follows another.
 */
import type { Project, Service, UpdateConfig } from '../../src/model/project.ts';
import type { World } from './world.ts';

export const projectName = 'shop';

/** 1 s of checks until a container is given up, and the usual margin of the plan. */
const healthcheck = { test: ['CMD', 'ok'], interval: '1s', timeout: '1s', retries: 3 };

/** @param machineCount how many machines the author sees */
export function aProject(world: World, machineCount: number): Project {
  const services: Record<string, Service> = {
    web: web(world, machineCount),
    one: { image: 'one:1' },
  };
  if (world.random() < 0.5) {
    services['db'] = {
      image: `db:${world.random() < 0.2 ? 2 : 1}`,
      restart: 'always',
      volumes: [{ type: 'volume', source: 'data', target: '/data' }],
    };
  }
  if (world.random() < 0.4) services['job'] = job(world);
  return { name: projectName, services, volumes: { data: {} } };
}

/** A replicated service: one in three is bad, and one in three has a command before its rollout. */
function web(world: World, machineCount: number): Service {
  const replicas = 1 + Math.floor(world.random() * Math.min(5, machineCount));
  const version = Math.floor(world.random() * 1000);
  const isChecked = world.random() < 0.4;
  const ms = Math.floor(world.between(200, 4000));
  const what = world.random() < 0.67 ? '' : isChecked ? `-sick-${ms}` : `-crash-${ms}`;
  const late = isChecked && what === '' && world.random() < 0.5 ? `-late-${ms}` : '';
  const restart = world.pick([undefined, 'always', 'on-failure:2']);
  return {
    image: `web:${version}${what}${late}`,
    deploy: { replicas, update_config: updateConfig(world) },
    ...(isChecked ? { healthcheck } : {}),
    ...(restart === undefined ? {} : { restart }),
    ...(world.random() < 0.3 ? { 'x-pre_deploy': { command: hookCommand(world) } } : {}),
  };
}

function updateConfig(world: World): UpdateConfig {
  const order = world.pick([undefined, 'start-first', 'stop-first']);
  const failureAction = world.pick([undefined, 'pause', 'rollback']);
  return {
    parallelism: world.pick([1, 1, 2]) ?? 1,
    ...(order === undefined ? {} : { order }),
    ...(failureAction === undefined ? {} : { failure_action: failureAction }),
    ...(world.random() < 0.3 ? { monitor: '3s' } : {}),
  };
}

function hookCommand(world: World): readonly string[] {
  const ms = `${Math.floor(world.between(200, 5000))}`;
  return [world.random() < 0.8 ? 'sleep' : 'fail', ms];
}

/** Runs to its end: a job, or a service that is not to be started again. */
function job(world: World): Service {
  const version = Math.floor(world.random() * 3);
  const image = `job:${version}-job-${Math.floor(world.between(300, 4000))}`;
  if (world.random() < 0.5) return { image, restart: 'no' };
  return { image, deploy: { mode: 'replicated-job', replicas: world.pick([1, 2, 3]) ?? 1 } };
}
