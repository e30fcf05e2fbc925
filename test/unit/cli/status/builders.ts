/** A cluster in the middle of something: an update that goes on, a machine that is lost. */
import type { MachineId } from '../../../../src/model/ids.ts';
import type { Snapshot } from '../../../../src/model/snapshot.ts';
import { aMachine, aSnapshot, m1, m2 } from '../../api/fakes.ts';
import { aContainer, aProject, aService } from '../builders.ts';

export const m3 = 'machinethree' as MachineId;

export function aScene(changes: Partial<Snapshot> = {}): Snapshot {
  const hash = '3f2a91c0deadbeef';
  const on = (machine: MachineId) => ({ machine, hash, startedMs: 700_000 });
  return aSnapshot({
    machines: [
      aMachine(m1, 'm1'),
      { ...aMachine(m2, 'm2'), subnet: '10.210.2.0/24' },
      { ...aMachine(m3, 'm3'), subnet: '10.210.3.0/24', liveness: 'lost' },
    ],
    projects: [
      aProject('guestbook', [
        aService('redis', { image: 'redis:7', hash, owners: { '1': m1 } }),
        aService('web', {
          image: 'registry.example.com/team/guestbook:2025-11',
          hash,
          wantedCount: 3,
          owners: { '1': m1, '2': m2, '3': m3 },
          ports: ['8080:80/tcp', '9000/tcp'],
          xPorts: ['guestbook.example.com:8000/http'],
        }),
      ]),
    ],
    containers: [
      aContainer('guestbook-redis-1', { ...on(m1), health: 'healthy', ip: '10.210.1.2' }),
      aContainer('guestbook-web-1', { ...on(m1), ip: '10.210.1.3' }),
      aContainer('guestbook-web-2', { ...on(m2), hash: '0ld0000', ready: false, ip: '10.210.2.2' }),
      aContainer('guestbook-web-3', { ...on(m3), ip: '10.210.3.2' }),
    ],
    waiting: [{ project: 'guestbook', service: 'web', slot: '3', why: 'waits for machine m3' }],
    ...changes,
  });
}
