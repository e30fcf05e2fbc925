/**
 * Brings rulesets into force, each as one transaction. While they change, as when containers start
 * everywhere, one nft process is kept: a fork of this large process and nft's own start take three
 * times the processor time of the change itself.
 *
 * The kept process is only ever a short cut. It has no exit code, so each ruleset ends with a chain
 * that the next command deletes again: no complaint about that is the proof that the whole is in
 * force. With the least doubt (it said something, ended, took too long) the process is ended and
 * `nft -f -` is run with the same ruleset, whose word is final: rulesets are whole, so that loading
 * one twice changes nothing.
 */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Log } from './log.ts';
import { NftShell } from './nft-shell.ts';
import { commandTimeoutMs, type RunCommand, runCommand } from './run-command.ts';

export interface NftLoader {
  /**
   * Loads a ruleset as one transaction; one call at a time.
   * @throws TscError E_COMMAND_FAILED when nft refuses it; the old ruleset is then still in force
   */
  load(ruleset: string): Promise<void>;
  /** Ends what was kept; a later `load` starts again. */
  end(): Promise<void>;
}

export interface KeptNftOptions {
  /** A table that every ruleset makes anew, "inet shop". */
  readonly table: string;
  /** For the file that the process reads rulesets from; only root may write there. */
  readonly runtimeDir: string;
  readonly run: RunCommand;
  readonly log: Log;
  /** The program that takes commands from its input; `nft -i` unless given. */
  readonly argv?: readonly string[];
  readonly idleMs?: number;
  readonly timeoutMs?: number;
}

/** 10 s: changes come in bursts; a process that waits for the next takes 5 to 10 MB. */
const idleAfterMs = 10_000;
/** So many rulesets in a row that only `nft -f -` loaded show that the short cut is none. */
const doubtLimit = 3;
/** 1000: the process keeps in memory what it was told, some 3 KB for each. */
const useLimit = 1000;
const fileName = 'ruleset.nft';
/** The chain that proves the transaction. */
const proof = 'tsc_loaded';

/** Runs the program for each ruleset. */
export function nftRunner(run: RunCommand): NftLoader {
  return {
    load: async (ruleset) => {
      await runCommand(run, ['nft', '-f', '-'], { input: ruleset });
    },
    end: async () => undefined,
  };
}

export class KeptNft implements NftLoader {
  readonly #options: KeptNftOptions;
  readonly #runner: NftLoader;
  #shell: NftShell | undefined;
  #useCount = 0;
  #doubtCount = 0;
  #isGivenUp = false;
  #idle: NodeJS.Timeout | undefined;

  constructor(options: KeptNftOptions) {
    this.#options = options;
    this.#runner = nftRunner(options.run);
  }

  /** The kept process's id; undefined while there is none. */
  get pid(): number | undefined {
    return this.#shell?.isOpen === true ? this.#shell.pid : undefined;
  }

  async load(ruleset: string): Promise<void> {
    if (!this.#isGivenUp && (await this.#writeRuleset(ruleset))) {
      clearTimeout(this.#idle);
      const shell = this.#openShell();
      const doubt = await this.#loadKept(shell);
      if (doubt === undefined) {
        this.#doubtCount = 0;
        this.#idle = setTimeout(() => shell.end(), this.#options.idleMs ?? idleAfterMs).unref();
        return;
      }
      shell.kill();
      await this.#runner.load(ruleset);
      this.#noteDoubt(doubt, shell.isUnfit);
      return;
    }
    await this.#runner.load(ruleset);
  }

  async end(): Promise<void> {
    clearTimeout(this.#idle);
    this.#shell?.end();
    this.#shell = undefined;
    await rm(this.#path(), { force: true });
  }

  #path(): string {
    return join(this.#options.runtimeDir, fileName);
  }

  /** @returns false when that failed, which is no reason for an old firewall */
  async #writeRuleset(ruleset: string): Promise<boolean> {
    const text = `${ruleset}\nadd chain ${this.#options.table} ${proof}\n`;
    try {
      await writeFile(this.#path(), text, { mode: 0o600 });
      return true;
    } catch (error) {
      this.#options.log.debug('the ruleset cannot be written to a file', { error });
      return false;
    }
  }

  #openShell(): NftShell {
    const { runtimeDir: directory, argv } = this.#options;
    if (this.#useCount >= useLimit) this.#shell?.end();
    if (this.#shell?.isOpen !== true) {
      this.#shell = new NftShell({ directory, ...(argv === undefined ? {} : { argv }) });
      this.#useCount = 0;
    }
    this.#useCount += 1;
    return this.#shell;
  }

  /** @returns undefined when the ruleset is in force, or what makes one doubt it */
  async #loadKept(shell: NftShell): Promise<string | undefined> {
    const { table, timeoutMs = commandTimeoutMs } = this.#options;
    const lines = [`include "./${fileName}"`, `delete chain ${table} ${proof}`];
    try {
      const said = await shell.run(lines, timeoutMs);
      return said === '' ? undefined : said;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** The kept process did not load what nft has no objection to. */
  #noteDoubt(doubt: string, isUnfit: boolean): void {
    const { log } = this.#options;
    const why = doubt.split('\n').slice(0, 3).join(' | ');
    this.#doubtCount += 1;
    this.#isGivenUp = isUnfit || this.#doubtCount >= doubtLimit;
    if (this.#isGivenUp)
      log.info('nft cannot be kept running; it is started for each change', { why });
    else log.debug('the kept nft process is replaced', { why });
  }
}
