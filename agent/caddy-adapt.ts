/**
 * Lets Caddy itself translate and check a Caddyfile, in a container of its own without any network,
 * so that nothing a user writes can reach the ingress that serves everybody before it is known to be
 * right. The container is gone afterwards.
 */
import type Dockerode from 'dockerode';
import { pack } from 'tar-stream';
import { TscError } from '../src/lib/errors.ts';
import type { ClusterId } from '../src/model/ids.ts';
import { label } from '../src/model/names.ts';
import { engineError, statusOfCause } from './engine-errors.ts';
import { demultiplex } from './engine-logs.ts';

const fileName = 'tsc-compose.caddyfile';

export interface CaddyAdaptOptions {
  readonly docker: Dockerode;
  readonly image: string;
  readonly cluster: ClusterId;
}

/**
 * @returns the configuration as JSON
 * @throws TscError E_COMPOSE_X_CADDY with Caddy's reason, E_IMAGE_NOT_FOUND without the ingress image
 */
export async function adaptCaddyfile(
  { docker, image, cluster }: CaddyAdaptOptions,
  service: string,
  text: string,
): Promise<unknown> {
  const container = await docker
    .createContainer({
      Image: image,
      Entrypoint: ['caddy'],
      Cmd: ['adapt', '--config', `/${fileName}`, '--adapter', 'caddyfile', '--validate'],
      Labels: { [label.system]: 'caddy-adapt', [label.cluster]: cluster },
      HostConfig: { NetworkMode: 'none' },
    })
    .catch((cause: unknown) => {
      if (statusOfCause(cause) !== 404) throw engineError(cause, 'check a Caddyfile');
      throw new TscError('E_IMAGE_NOT_FOUND', `the ingress image "${image}" is not here`, {
        hint: `x-caddy of ${service} is checked with it: docker pull ${image}`,
        cause,
      });
    });
  try {
    const tar = pack();
    tar.entry({ name: fileName, mode: 0o444 }, text);
    tar.finalize();
    const chunks: Buffer[] = [];
    // A pack without an encoding yields buffers.
    for await (const chunk of tar) chunks.push(chunk as Buffer);
    await container.putArchive(Buffer.concat(chunks), { path: '/' });
    await container.start();
    const ended: unknown = await container.wait();
    const output = await container.logs({ stdout: true, stderr: false, follow: false });
    const code: unknown =
      typeof ended === 'object' && ended !== null ? Reflect.get(ended, 'StatusCode') : undefined;
    if (code === 0) return JSON.parse(demultiplex(output).toString());
    const errors = await container.logs({ stdout: false, stderr: true, follow: false });
    throw new TscError(
      'E_COMPOSE_X_CADDY',
      `services.${service}.x-caddy: ${reasonIn(demultiplex(errors).toString())}`,
      {
        hint: 'nothing has been changed',
      },
    );
  } catch (cause) {
    throw cause instanceof TscError ? cause : engineError(cause, 'check a Caddyfile');
  } finally {
    await container.remove({ force: true }).catch(() => undefined);
  }
}

/** Caddy writes logs as well; the reason is the last line that begins with "Error:". */
function reasonIn(output: string): string {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const reason = lines.filter((line) => line.startsWith('Error: ')).at(-1) ?? lines.at(-1) ?? '';
  return reason.replace(/^Error: /, '').replaceAll(`/${fileName}`, 'Caddyfile');
}
