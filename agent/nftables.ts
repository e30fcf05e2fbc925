/**
 * Applies the firewall's ruleset as a whole, in one transaction, and only when it differs from what
 * is loaded. An `accept` in our tables is not final: where Docker (or another firewall) manages
 * iptables with a policy of DROP, a few rules in its chains let through what our own tables have
 * already judged. They are looked for before they are put there, because a restart of Docker
 * flushes its chains, but not with every change: a change comes with every container that starts
 * anywhere, and each program that is run for it makes all machines slower.
 */
import { firewallTable } from '../src/render/firewall.ts';
import { endSilentConnections, forgetRemovedBackends } from './conntrack.ts';
import { iptablesRules } from './iptables-rules.ts';
import { type KernelSettings, kernelSettings } from './kernel-settings.ts';
import type { Log } from './log.ts';
import { KeptNft, type NftLoader } from './nft-loader.ts';
import { isProgramMissing, type RunCommand, runCommand, tryCommand } from './run-command.ts';

export interface NftablesOptions {
  readonly bridge: string;
  readonly wireguard: string;
  /** For the file that nft reads rulesets from. */
  readonly runtimeDir: string;
  readonly log: Log;
  readonly run?: RunCommand;
  readonly loader?: NftLoader;
  readonly kernel?: KernelSettings;
}

/** 10 s: how long what others may undo (tables, sysctls, rules) is believed to be still there. */
const trustMs = 10_000;

const tables = [`inet ${firewallTable}`, `bridge ${firewallTable}`] as const;

export class NftablesDriver {
  readonly #options: NftablesOptions;
  readonly #run: RunCommand;
  readonly #loader: NftLoader;
  readonly #kernel: KernelSettings;
  #loaded: string | undefined;
  #checkedMs = Number.NEGATIVE_INFINITY;
  /** br_netfilter is at work. */
  #isBridgeFiltered = false;
  #hasIptables = true;
  #hasWarned = false;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(options: NftablesOptions) {
    this.#options = options;
    const { runtimeDir, log, run = tryCommand } = options;
    this.#run = run;
    this.#loader =
      options.loader ?? new KeptNft({ table: `inet ${firewallTable}`, runtimeDir, run, log });
    this.#kernel = options.kernel ?? kernelSettings();
  }

  /**
   * Loads the ruleset if it is not the loaded one, and checks what other programs may have undone.
   * @throws TscError E_COMMAND_FAILED when nft refuses it; the old ruleset is then still in force
   */
  set(ruleset: string): Promise<void> {
    return this.#serial(async () => {
      const isFresh = performance.now() - this.#checkedMs < trustMs;
      if (isFresh && this.#loaded === ruleset) return;
      const isChanged = this.#loaded !== ruleset || !(await this.#hasTables());
      if (isChanged) {
        await this.#loader.load(ruleset);
        const before = this.#loaded;
        this.#loaded = ruleset;
        await endSilentConnections(before ?? '', ruleset, this.#run);
        if (before !== undefined) await forgetRemovedBackends(before, ruleset, this.#run);
      }
      const isSettled = isFresh || (await this.#setWhatOthersUndo());
      // With br_netfilter, a container that calls itself by a published port gets its packet back
      // on the port of the bridge it came from, which a bridge refuses if it is not told otherwise.
      if (this.#isBridgeFiltered) await this.#kernel.setHairpin(this.#options.bridge);
      if (!isFresh && isSettled) this.#checkedMs = performance.now();
    });
  }

  /** Checks the chains of others again, as after a restart of Docker; `set` does it as well. */
  recheck(): Promise<void> {
    const loaded = this.#loaded;
    this.#checkedMs = Number.NEGATIVE_INFINITY;
    return loaded === undefined ? Promise.resolve() : this.set(loaded);
  }

  /** Ends what was kept for the next change. Tables and rules stay: the machine stays in service. */
  stop(): Promise<void> {
    return this.#serial(() => this.#loader.end());
  }

  /** Deletes the tables and the rules in the chains of others, also those of an earlier agent. */
  cleanUp(): Promise<void> {
    return this.#serial(async () => {
      this.#loaded = undefined;
      await this.#loader.end();
      const text = tables.map((table) => `table ${table}\ndelete table ${table}\n`).join('');
      await runCommand(this.#run, ['nft', '-f', '-'], { input: text });
      await this.#eachIptablesRule(async (chain, rule) => {
        await this.#run(['iptables', '-w', '-D', chain, ...rule]);
      });
    });
  }

  /** @returns false when a device is not there yet, so that the next `set` tries again */
  async #setWhatOthersUndo(): Promise<boolean> {
    const hasAll = await this.#setSysctls();
    const bridged = await this.#kernel.sysctl(['net', 'bridge', 'bridge-nf-call-iptables']);
    this.#isBridgeFiltered = bridged === '1';
    await this.#setIptables();
    return hasAll;
  }

  async #hasTables(): Promise<boolean> {
    const results = await Promise.all(
      tables.map((table) => this.#run(['nft', '-t', 'list', 'table', ...table.split(' ')])),
    );
    return results.every((result) => result.code === 0);
  }

  async #setSysctls(): Promise<boolean> {
    const { bridge, wireguard, log } = this.#options;
    let hasAll = true;
    await this.#kernel.setSysctl(['net', 'ipv4', 'ip_forward'], '1');
    // Answers to the machine's own 127.0.0.1 come in over these devices when it uses a published
    // port; the ruleset drops everything else that carries a loopback address.
    for (const device of [bridge, wireguard]) {
      const name = ['net', 'ipv4', 'conf', device, 'route_localnet'];
      if (await this.#kernel.setSysctl(name, '1')) continue;
      hasAll = false;
      log.debug('not there yet', { device });
    }
    return hasAll;
  }

  async #setIptables(): Promise<void> {
    await this.#eachIptablesRule(async (chain, rule, isListed) => {
      // A listing may word a rule differently than we do: only its absence is worth a question.
      if (isListed) return;
      const check = await this.#run(['iptables', '-w', '-C', chain, ...rule]);
      if (check.code === 0) return;
      await runCommand(this.#run, ['iptables', '-w', '-I', chain, ...rule]);
      this.#options.log.debug('rule added', { chain, rule: rule.join(' ') });
    });
  }

  /** Calls `work` for every rule whose chain needs it; does nothing without iptables. */
  async #eachIptablesRule(
    work: (chain: string, rule: readonly string[], isListed: boolean) => Promise<void>,
  ): Promise<void> {
    if (!this.#hasIptables) return;
    const { bridge, wireguard, log } = this.#options;
    try {
      const listed = await this.#run(['iptables', '-w', '-S']);
      if (listed.code !== 0) {
        if (!this.#hasWarned) log.warn('iptables cannot be read', { error: listed.stderr.trim() });
        this.#hasWarned = true;
        return;
      }
      const lines = new Set(listed.stdout.split('\n'));
      for (const { chain, rule } of iptablesRules(listed.stdout, bridge, wireguard)) {
        await work(chain, rule, lines.has(`-A ${chain} ${rule.join(' ')}`));
      }
    } catch (error) {
      if (!isProgramMissing(error)) throw error;
      this.#hasIptables = false;
    }
  }

  #serial(work: () => Promise<void>): Promise<void> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}
