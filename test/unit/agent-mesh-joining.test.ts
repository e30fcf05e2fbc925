/** Admitting over the join request: a real replica and real tokens, no tunnel. */
import { afterEach, expect, test } from 'vitest';
import { createIdentity } from '../../agent/identity.ts';
import { Joining } from '../../agent/joining.ts';
import { decodeToken, PendingTokens } from '../../agent/token.ts';
import { facts, TestCluster } from './agent-mesh-cluster.ts';
import { aLog } from './agent-network/silent-log.ts';

const cluster = new TestCluster();
afterEach(() => cluster.end());

async function issuer(): Promise<Joining> {
  const dir = await cluster.newDir();
  const { identity, replica } = await cluster.agent(dir);
  await replica.found({ ...facts('first'), range: '10.210.0.0/16' });
  return new Joining({
    identity,
    replica,
    tokens: await PendingTokens.open(dir, Date.now),
    facts: () => Promise.resolve(facts('first')),
    startCluster: () => Promise.resolve(),
    applyMesh: () => Promise.resolve(),
    info: () => {
      throw new Error('not asked for here');
    },
    now: Date.now,
    runDir: dir,
    log: aLog().log,
  });
}

const admitBody = async (secret: string) => {
  const { publicKey, wgPublicKey } = await createIdentity();
  return { step: 'admit', secret, publicKey, wgPublicKey };
};

test('a joiner whose answer was lost asks again and gets the same one', async () => {
  const joining = await issuer();
  const { secret } = decodeToken((await joining.token()).token, Date.now());
  const body = await admitBody(secret);
  const first = await joining.onJoin(body, '::1');
  expect(await joining.onJoin(body, '::1')).toEqual(first);
});

test('a used token lets no other machine in', async () => {
  const joining = await issuer();
  const { secret } = decodeToken((await joining.token()).token, Date.now());
  await joining.onJoin(await admitBody(secret), '::1');
  await expect(joining.onJoin(await admitBody(secret), '::1')).rejects.toThrow('was used already');
});
