import { expect, test } from 'vitest';
import { Creations } from '../../../agent/creations.ts';

/** A creation that the test ends. */
function creation(creations: Creations) {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const made = creations.make(() => promise);
  return { made, resolve, reject };
}

test('a start waits for all creations that are under way, and for no later one', async () => {
  const creations = new Creations();
  const first = creation(creations);
  const second = creation(creations);
  let hasEnded = false;
  const ended = creations.ended().then(() => {
    hasEnded = true;
  });
  const later = creation(creations);
  first.resolve('a');
  expect(await first.made).toBe('a');
  await new Promise(setImmediate);
  expect(hasEnded).toBe(false);
  second.resolve('b');
  await ended;
  later.resolve('c');
  await later.made;
});

test("a creation that fails is its caller's, and holds nobody up", async () => {
  const creations = new Creations();
  const failing = creation(creations);
  const ended = creations.ended(60_000);
  failing.reject(new Error('no such image'));
  await expect(failing.made).rejects.toThrow('no such image');
  await ended;
  await creations.ended(60_000);
});

test('a creation that hangs holds up nobody for long', async () => {
  const creations = new Creations();
  const hanging = creation(creations);
  await creations.ended(20);
  hanging.resolve('late');
  expect(await hanging.made).toBe('late');
});
