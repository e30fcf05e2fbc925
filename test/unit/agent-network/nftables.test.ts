import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { iptablesRules } from '../../../agent/iptables-rules.ts';
import type { KernelSettings } from '../../../agent/kernel-settings.ts';
import { type NftLoader, nftRunner } from '../../../agent/nft-loader.ts';
import { NftablesDriver } from '../../../agent/nftables.ts';
import type { CommandResult, RunCommand } from '../../../agent/run-command.ts';
import { TscError } from '../../../src/lib/errors.ts';
import { aLog } from './silent-log.ts';

const docker = ['-P INPUT ACCEPT', '-P FORWARD DROP', '-N DOCKER-USER', ''].join('\n');

/** A machine with the programs that the driver runs: keeps tables and rules. */
class FakeMachine {
  readonly commands: string[] = [];
  readonly rules = new Set<string>();
  listing = docker;
  hasTables = false;
  hasBridge = true;
  isBridgeFiltered = false;
  hasIptables = true;
  refusal: string | undefined;

  readonly run: RunCommand = async (argv, options = {}) => {
    const text = argv.join(' ');
    this.commands.push(text);
    const ok = (stdout = ''): CommandResult => ({ code: 0, stdout, stderr: '' });
    const failed = (stderr: string): CommandResult => ({ code: 1, stdout: '', stderr });
    if (text === 'nft -f -') {
      if (this.refusal !== undefined) return failed(this.refusal);
      this.hasTables = !(options.input ?? '').trimEnd().endsWith('delete table bridge tsc_compose');
      return ok();
    }
    if (text.startsWith('nft -t list table')) return this.hasTables ? ok() : failed('no table');
    if (argv[0] !== 'iptables') return ok();
    if (!this.hasIptables) throw new TscError('E_PROGRAM_MISSING', 'no iptables');
    if (text === 'iptables -w -S') return ok(this.listing);
    const rule = argv.slice(3).join(' ');
    if (argv[2] === '-C') return this.rules.has(rule) ? ok() : failed('no rule');
    if (argv[2] === '-I') this.rules.add(rule);
    if (argv[2] === '-D') this.rules.delete(rule);
    return ok();
  };

  readonly settings = new Map<string, string>();
  hairpinCount = 0;
  readonly #kernel: KernelSettings = {
    sysctl: async (name) =>
      name.includes('bridge-nf-call-iptables') && this.isBridgeFiltered ? '1' : '0',
    setSysctl: async (name, value) => {
      if (name.includes('tsc-br') && !this.hasBridge) return false;
      this.settings.set(name.join('.'), value);
      return true;
    },
    setHairpin: async () => {
      this.hairpinCount += 1;
    },
  };

  driver(loader: NftLoader = nftRunner(this.run)): NftablesDriver {
    const { log } = aLog();
    const { run } = this;
    return new NftablesDriver({
      bridge: 'tsc-br',
      wireguard: 'tsc-wg',
      runtimeDir: '/nonexistent',
      log,
      run,
      loader,
      kernel: this.#kernel,
    });
  }

  countOf(text: string): number {
    return this.commands.filter((command) => command === text).length;
  }
}

describe('the firewall driver', () => {
  test('loads a ruleset once, and again when it changes', async () => {
    const machine = new FakeMachine();
    const driver = machine.driver();
    await driver.set('one');
    await driver.set('one');
    expect(machine.countOf('nft -f -')).toBe(1);
    await driver.set('two');
    expect(machine.countOf('nft -f -')).toBe(2);
  });

  test('runs nothing but nft for a further change: what others undo is looked at now and then', async () => {
    const machine = new FakeMachine();
    const driver = machine.driver();
    await driver.set('one');
    machine.commands.length = 0;
    await driver.set('two');
    expect(machine.commands).toEqual(['nft -f -']);
  });

  test('sets what belongs to a device once that is there', async () => {
    const machine = new FakeMachine();
    const driver = machine.driver();
    machine.hasBridge = false;
    await driver.set('one');
    machine.hasBridge = true;
    expect([...machine.settings.keys()]).toEqual([
      'net.ipv4.ip_forward',
      'net.ipv4.conf.tsc-wg.route_localnet',
    ]);
    await driver.set('two');
    expect(machine.settings.get('net.ipv4.conf.tsc-br.route_localnet')).toBe('1');
    machine.commands.length = 0;
    await driver.set('three');
    expect(machine.commands).toEqual(['nft -f -']);
  });

  test('ends own connections to machines that have fallen silent, once', async () => {
    const machine = new FakeMachine();
    const driver = machine.driver();
    const ruleset = (subnets: string): string =>
      ` set silent {\n type ipv4_addr\n flags interval\n${subnets === '' ? '' : ` elements = { ${subnets} }\n`} }`;
    await driver.set(ruleset(''));
    expect(machine.commands.filter((text) => text.startsWith('ss'))).toEqual([]);
    await driver.set(ruleset('10.210.2.0/24'));
    await driver.set(ruleset('10.210.2.0/24, 10.210.3.0/24'));
    await driver.set(ruleset('10.210.3.0/24'));
    expect(machine.commands.filter((text) => text.startsWith('ss'))).toEqual([
      'ss -K -t -n dst 10.210.2.0/24',
      'ss -K -t -n dst 10.210.3.0/24',
    ]);
  });

  test('gives new bridge ports their hairpin with every change where the bridge is filtered', async () => {
    const machine = new FakeMachine();
    machine.isBridgeFiltered = true;
    const driver = machine.driver();
    await driver.set('one');
    await driver.set('two');
    expect(machine.hairpinCount).toBe(2);
  });

  test('asks for no rule that the listing shows', async () => {
    const machine = new FakeMachine();
    await machine.driver().set('one');
    machine.listing += [...machine.rules].map((rule) => `-A ${rule}\n`).join('');
    machine.commands.length = 0;
    await machine.driver().set('one');
    expect(machine.commands.filter((text) => text.startsWith('iptables'))).toEqual([
      'iptables -w -S',
    ]);
  });

  test('loads it again when somebody has removed the tables', async () => {
    const machine = new FakeMachine();
    const driver = machine.driver();
    await driver.set('one');
    machine.hasTables = false;
    await driver.recheck();
    expect(machine.countOf('nft -f -')).toBe(2);
  });

  test('puts back the rules that a restart of Docker has flushed, each once', async () => {
    const machine = new FakeMachine();
    const driver = machine.driver();
    await driver.set('one');
    const rules = [...machine.rules];
    expect(rules).toContain(
      'DOCKER-USER -i tsc-wg -o tsc-br -m comment --comment tsc-compose -j ACCEPT',
    );
    await driver.recheck();
    expect([...machine.rules]).toEqual(rules);
    machine.rules.clear();
    await driver.recheck();
    expect([...machine.rules]).toEqual(rules);
  });

  test('says what nft refused and tries the same text again the next time', async () => {
    const machine = new FakeMachine();
    const driver = machine.driver();
    machine.refusal = 'syntax error';
    await expect(driver.set('bad')).rejects.toThrow('syntax error');
    machine.refusal = undefined;
    await driver.set('bad');
    expect(machine.countOf('nft -f -')).toBe(2);
  });

  test('forgets UDP flows to backends that have gone, and no others', async () => {
    const machine = new FakeMachine();
    const driver = machine.driver();
    const rule = (protocol: string, target: string) =>
      `meta nfproto ipv4 ${protocol} dport 53 dnat ip to ${target} : 53 comment "shop/dns"\n`;
    const before = 'numgen random mod 2 map { 0 : 10.210.1.2, 1 : 10.210.2.2 }';
    await driver.set(rule('udp', before) + rule('tcp', '10.210.3.2'));
    await driver.set(rule('udp', '10.210.1.2'));
    expect(machine.commands.filter((command) => command.startsWith('conntrack'))).toEqual([
      'conntrack -D -p udp --reply-src 10.210.2.2',
    ]);
  });

  test('works where iptables is not installed', async () => {
    const machine = new FakeMachine();
    machine.hasIptables = false;
    await machine.driver().set('one');
    expect(machine.hasTables).toBe(true);
  });

  test('ends the process that is kept for changes when it stops or cleans up, after the change', async () => {
    const machine = new FakeMachine();
    const order: string[] = [];
    const driver = machine.driver({
      load: async (ruleset) => {
        await sleep(1);
        order.push(ruleset);
      },
      end: async () => {
        order.push('end');
      },
    });
    await Promise.all([driver.set('one'), driver.stop()]);
    expect(order).toEqual(['one', 'end']);
    expect(machine.commands.filter((text) => text.includes('delete'))).toEqual([]);
    await driver.set('two');
    await driver.cleanUp();
    expect(order).toEqual(['one', 'end', 'two', 'end']);
    expect(machine.hasTables).toBe(false);
  });

  test('leaves neither tables nor rules behind', async () => {
    const machine = new FakeMachine();
    await machine.driver().set('one');
    await machine.driver().cleanUp();
    expect(machine.hasTables).toBe(false);
    expect([...machine.rules]).toEqual([]);
  });
});

describe('rules in the chains of others', () => {
  const chains = (listing: string): readonly string[] =>
    iptablesRules(listing, 'br', 'wg').map(({ chain, rule }) => `${chain} ${rule.join(' ')}`);

  test('are none where everything is open', () => {
    expect(chains('-P INPUT ACCEPT\n-P FORWARD ACCEPT\n')).toEqual([]);
  });

  test('go into FORWARD where there is no Docker chain but a closed policy', () => {
    const rules = chains('-P INPUT ACCEPT\n-P FORWARD DROP\n');
    expect(rules.every((rule) => rule.startsWith('FORWARD '))).toBe(true);
    expect(rules).toContain('FORWARD -i br -m comment --comment tsc-compose -j ACCEPT');
  });

  test('let containers and the mesh in where INPUT is closed', () => {
    expect(chains('-P INPUT DROP\n-P FORWARD ACCEPT\n')).toEqual([
      'INPUT -i br -m comment --comment tsc-compose -j ACCEPT',
      'INPUT -i wg -m comment --comment tsc-compose -j ACCEPT',
    ]);
  });
});
