import { expect, test } from 'vitest';
import { renderResolvConf } from '../../../src/render/resolv-conf.ts';
import { aMachine } from './view-builder.ts';

const machine = aMachine('a');

test('two resolvers and short patience are what a container gets', () => {
  expect(renderResolvConf(machine, {}, [])).toBe(
    'nameserver 10.210.1.1\nnameserver 169.254.210.53\noptions ndots:0 timeout:1 attempts:3\n',
  );
});

test('search domains are those of the service, else those of the machine', () => {
  expect(renderResolvConf(machine, {}, ['lan'])).toContain('\nsearch lan\n');
  const own = renderResolvConf(machine, { dns_search: ['corp.example', 'b'] }, ['lan']);
  expect(own).toContain('\nsearch corp.example b\n');
  expect(renderResolvConf(machine, { dns_search: ['.'] }, ['lan'])).not.toContain('search');
});

test('options of the service replace the usual ones of the same name', () => {
  expect(renderResolvConf(machine, { dns_opt: ['ndots:2', 'use-vc'] }, [])).toContain(
    'options timeout:1 attempts:3 ndots:2 use-vc\n',
  );
});
