/**
 * Forgets connections to backends that have gone. The kernel keeps a redirected flow on its first
 * backend for as long as packets come, and a UDP client that goes on sending would never be led to
 * another one. TCP needs no help: its dead connections are refused or time out. Without the
 * program `conntrack` nothing is done; new flows are right either way.
 */
import { isProgramMissing, type RunCommand } from './run-command.ts';

/** Addresses that a ruleset leads published UDP ports to. */
export function udpBackends(ruleset: string): ReadonlySet<string> {
  const found = new Set<string>();
  for (const [, target = ''] of ruleset.matchAll(/ udp dport \d+ dnat ip to (.+) : \d+ comment/g)) {
    for (const [ip] of target.matchAll(/\d+\.\d+\.\d+\.\d+/g)) found.add(ip);
  }
  return found;
}

/** Deletes the UDP flows to backends that the new ruleset does not have any more. */
export async function forgetRemovedBackends(
  before: string,
  after: string,
  run: RunCommand,
): Promise<void> {
  const kept = udpBackends(after);
  for (const ip of udpBackends(before)) {
    if (kept.has(ip)) continue;
    try {
      // Exit code 1 also says that there was none: nothing to do then.
      await run(['conntrack', '-D', '-p', 'udp', '--reply-src', ip]);
    } catch (error) {
      if (!isProgramMissing(error)) throw error;
      return;
    }
  }
}
