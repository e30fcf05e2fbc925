import { expect, test } from 'vitest';
import * as stubs from '../../../agent/engine-stubs.ts';

test('reaching what was left out of the bundle is a fault that names it', () => {
  expect(() => new stubs.Client()).toThrow('ssh2 is left out of this build');
  expect(() => new stubs.Server()).toThrow('@grpc/grpc-js is left out');
  expect(() => stubs.ServerCredentials.createInsecure()).toThrow('@grpc/grpc-js is left out');
  expect(() => stubs.loadPackageDefinition()).toThrow('@grpc/grpc-js is left out');
  expect(() => stubs.loadSync()).toThrow('protobufjs is left out');
  expect(() => stubs.load()).toThrow('protobufjs is left out');
});
