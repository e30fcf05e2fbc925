import { describe, expect, test } from 'vitest';
import { connect, defaultSocketPath } from '../../../src/client/connect.ts';
import { dockerError } from '../../../src/client/docker-error.ts';
import { errorFromApi, readAnswer, unreachable } from '../../../src/client/request.ts';
import { formatError, TscError } from '../../../src/lib/errors.ts';

function thrown(work: () => unknown): unknown {
  try {
    return work();
  } catch (error) {
    return error;
  }
}

describe('the socket', () => {
  test('is the one of the flag, else of the environment, else the usual one', () => {
    const env = { TSC_COMPOSE_SOCKET: '/env.sock' };
    expect(connect({ socketPath: '/flag.sock', env }).socketPath).toBe('/flag.sock');
    expect(connect({ env }).socketPath).toBe('/env.sock');
    expect(connect({ env: {} }).socketPath).toBe(defaultSocketPath);
  });

  test.each([
    ['ENOENT', 'there is no socket', 'start the agent'],
    ['ECONNREFUSED', 'nobody listens', 'not running'],
    ['EACCES', 'permission denied', 'as root'],
    ['ECONNRESET', 'the connection broke', 'restarting'],
  ])('that fails with %s says why and what to do', (code, why, hint) => {
    const error = unreachable('/a.sock', Object.assign(new Error('x'), { code }));
    expect(error.code).toBe('E_AGENT_UNREACHABLE');
    expect(formatError(error)).toContain(`no agent answers at /a.sock: ${why}`);
    expect(error.hint).toContain(hint);
  });

  test('that fails in another way keeps the words of the system', () => {
    expect(unreachable('/a.sock', new Error('odd')).message).toContain('odd');
  });
});

describe('answers', () => {
  test('are values when the status is good', () => {
    expect(readAnswer(200, '{"a":1}')).toEqual({ a: 1 });
  });

  test('are the agent’s own error, with place and hint, when it is not', () => {
    const where = { file: 'compose.yaml', line: 3, column: 5, text: 'abc', length: 2 };
    const body = { code: 'E_X', message: 'no', hint: 'do', where };
    expect(thrown(() => readAnswer(409, JSON.stringify(body)))).toMatchObject(body);
  });

  test('of something that is no agent are an error as well', () => {
    expect(thrown(() => readAnswer(200, '<html>'))).toMatchObject({ code: 'E_AGENT_ANSWER' });
    expect(thrown(() => readAnswer(500, '{}'))).toMatchObject({
      code: 'E_AGENT_ANSWER',
      message: expect.stringContaining('500'),
    });
    expect(errorFromApi('text')).toBeUndefined();
    expect(errorFromApi({ code: 'ODD', message: 'm' })?.code).toBe('E_AGENT_ANSWER');
  });
});

describe('errors of Docker calls', () => {
  const failed = (fields: object) => Object.assign(new Error('(HTTP code) words '), fields);

  test('are the agent’s own where the agent answered', () => {
    const json = { code: 'E_MACHINE_UNREACHABLE', message: 'm2 is away', hint: 'wait' };
    expect(dockerError(failed({ statusCode: 502, json }), '/s')).toMatchObject(json);
  });

  test('are the engine’s words where the engine answered', () => {
    const error = dockerError(failed({ statusCode: 409, json: { message: 'is paused' } }), '/s');
    expect(error).toMatchObject({ code: 'E_ENGINE', message: 'is paused' });
    expect(dockerError(failed({ statusCode: 500, json: null }), '/s')).toMatchObject({
      message: '(HTTP code) words',
    });
  });

  test('are of the socket where nobody answered', () => {
    const cause = failed({ code: 'ENOENT', syscall: 'connect' });
    expect(dockerError(cause, '/s')).toMatchObject({ code: 'E_AGENT_UNREACHABLE' });
  });

  test('that are none of these stay what they are', () => {
    const fault = new TypeError('ours');
    expect(dockerError(fault, '/s')).toBe(fault);
    const known = new TscError('E_X', 'known');
    expect(dockerError(known, '/s')).toBe(known);
  });
});
