/**
 * What stands in for gRPC, Protobuf and SSH in the bundle. dockerode loads them for BuildKit
 * sessions and for `ssh://` hosts; this project uses neither, and they cost half of the start-up
 * time of every command. The build aliases `@grpc/grpc-js`, `@grpc/proto-loader`, `protobufjs` and
 * `ssh2` to this one file. Reaching any of it is a fault of ours, so everything here throws.
 */
import { AssertionError } from '../src/lib/assert.ts';

function absent(name: string): never {
  throw new AssertionError(`${name} is left out of this build of tsc-compose`);
}

/** ssh2, for `ssh://` engines. */
export class Client {
  constructor() {
    absent('ssh2');
  }
}

/** @grpc/grpc-js, for BuildKit sessions. */
export class Server {
  constructor() {
    absent('@grpc/grpc-js');
  }
}

export const ServerCredentials = { createInsecure: (): never => absent('@grpc/grpc-js') };

export function loadPackageDefinition(): never {
  return absent('@grpc/grpc-js');
}

/** @grpc/proto-loader and protobufjs, for BuildKit's progress. */
export function loadSync(): never {
  return absent('protobufjs');
}

export function load(): never {
  return absent('protobufjs');
}
