/** What is done to the machines: each fault begins, lasts for some seconds, and ends by itself. */
import type { Random } from '../fuzz/random.ts';
import type { World } from './world.ts';

export interface Fault {
  readonly name: string;
  /** On whom, for the report. */
  readonly target: string;
  /** The machine whose own state it changes; no two faults at once have the same. */
  readonly machine: string | undefined;
  begin(): Promise<void>;
  end(): Promise<void>;
}

type Maker = (world: World, random: Random) => Fault;

/** Every fault there is, by name. */
export const faultMakers: Readonly<Record<string, Maker>> = {
  'power cut': (world, random) => {
    const name = random.pick(world.names) ?? '';
    return onMachine('power cut', name, {
      begin: () => world.cutPower(name),
      end: () => world.powerOn(name),
    });
  },
  partition: (world, random) => {
    const size = 1 + random.below(world.names.length - 1);
    const shuffled = random.some(world.names, 1).concat(world.names);
    const side = [...new Set(shuffled)].slice(0, size);
    const others = world.names.filter((name) => !side.includes(name));
    return {
      name: 'partition',
      target: `${side.join('+')} | ${others.join('+')}`,
      machine: undefined,
      begin: async () => {
        await world.lab.partition(side, others);
        world.groups = [side, others];
      },
      end: () => healLine(world),
    };
  },
  'one-way line': (world, random) => {
    const [from = '', to = ''] = random.pick(
      world.names.flatMap((a) => world.names.filter((b) => b !== a).map((b) => [a, b])),
    ) ?? ['', ''];
    return {
      name: 'one-way line',
      target: `${from} > ${to}`,
      machine: undefined,
      begin: async () => {
        await world.lab.oneWay(from, to);
        world.isLineBad = true;
      },
      end: () => healLine(world),
    };
  },
  'lossy line': (world, random) => {
    const name = random.pick(world.names) ?? '';
    const percent = 5 + random.below(25);
    return {
      name: 'lossy line',
      target: `${name} ${percent} %`,
      machine: undefined,
      begin: async () => {
        await world.lab.loss(name, percent);
        world.isLineBad = true;
      },
      end: () => healLine(world),
    };
  },
  'agent killed': (world, random) => {
    const name = random.pick(world.names) ?? '';
    return onMachine('agent killed', name, {
      begin: () => world.killAgent(name),
      end: () => world.startAgent(name),
    });
  },
  'engine killed': (world, random) => {
    const name = random.pick(world.names) ?? '';
    return onMachine('engine killed', name, {
      begin: () => world.killEngine(name),
      end: () => world.startEngine(name),
    });
  },
  'engine hung': (world, random) => {
    const name = random.pick(world.names) ?? '';
    return onMachine('engine hung', name, {
      begin: () => world.hangEngine(name, true),
      end: () => world.hangEngine(name, false),
    });
  },
  'disk full': (world) =>
    onMachine('disk full', world.smallDiskMachine, {
      begin: () => world.fillDisk(true),
      end: () => world.fillDisk(false),
    }),
};

/** One to three faults that can be on at the same time. */
export function drawFaults(world: World, random: Random): readonly Fault[] {
  const chosen: Fault[] = [];
  const kinds = Object.values(faultMakers);
  const count = 1 + random.below(3);
  for (let step = 0; step < count; step++) {
    const fault = random.pick(kinds)?.(world, random);
    if (fault === undefined) continue;
    const clashes = chosen.some(
      (other) => other.machine === fault.machine || other.target === fault.target,
    );
    if (!clashes) chosen.push(fault);
  }
  return chosen;
}

function onMachine(name: string, machine: string, acts: Pick<Fault, 'begin' | 'end'>): Fault {
  return { name, target: machine, machine, ...acts };
}

async function healLine(world: World): Promise<void> {
  await world.lab.heal();
  world.groups = [world.names];
  world.isLineBad = false;
}
