/**
 * Ends what a change of the ruleset leaves hanging. The kernel keeps a redirected UDP flow on its
 * first backend for as long as packets come, so flows to backends that have gone are forgotten. And
 * a TCP connection of the machine itself (Caddy's) that waits for an answer of a machine which has
 * fallen silent sends nothing that the ruleset could refuse: it is ended. Without the programs
 * `conntrack` and `ss` nothing is done; new flows are right either way.
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

/** Subnets of silent machines in a ruleset. */
export function silentSubnets(ruleset: string): ReadonlySet<string> {
  const elements = / set silent \{[^}]*elements = \{ ([^}]*) \}/.exec(ruleset)?.[1] ?? '';
  return new Set(elements.split(', ').filter((text) => text !== ''));
}

/** Ends this machine's own TCP connections to machines that the new ruleset calls silent. */
export async function endSilentConnections(
  before: string,
  after: string,
  run: RunCommand,
): Promise<void> {
  const known = silentSubnets(before);
  const fresh = [...silentSubnets(after)].filter((subnet) => !known.has(subnet));
  if (fresh.length === 0) return;
  try {
    // A kernel without INET_DIAG_DESTROY refuses it: such connections then wait as before.
    await run(['ss', '-K', '-t', '-n', fresh.map((subnet) => `dst ${subnet}`).join(' or ')]);
  } catch (error) {
    if (!isProgramMissing(error)) throw error;
  }
}
