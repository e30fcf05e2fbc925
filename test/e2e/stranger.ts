/**
 * Plays a stranger on a machine of the cluster: speaks the handshake correctly, with a key of its
 * own that no member has admitted. Run inside a machine: stranger.ts MESH_IP CLUSTER PATH.
 * Prints "refused: CODE" or "linked".
 */
import { WebSocket } from 'ws';
import { shakeHands } from '../../agent/hello.ts';
import { createIdentity, createVerify } from '../../agent/identity.ts';
import type { ClusterId } from '../../src/model/ids.ts';
import { meshPort } from '../../src/model/names.ts';

const [host = '', cluster = '', path = '/gossip'] = process.argv.slice(2);
const identity = await createIdentity();
const socket = new WebSocket(`ws://[${host}]:${meshPort}${path}`);
socket.on('error', (error) => {
  process.stdout.write(`error: ${error.message}\n`);
  process.exit(1);
});
socket.on('open', () => {
  shakeHands(
    socket,
    {
      signer: identity,
      verify: createVerify(),
      members: {
        // A word from the command line: the stranger has heard the cluster's id somewhere.
        cluster: cluster as ClusterId,
        isMember: () => true,
        isRemoved: () => false,
        offer: () => undefined,
        ownRecord: () => undefined,
      },
    },
    { path: path === '/rpc' ? '/rpc' : '/gossip', expected: undefined, timeoutMs: 5_000 },
    (result) => {
      process.stdout.write(result.isUp ? 'linked\n' : `refused: ${result.code}\n`);
      process.exit(0);
    },
  );
});
