/**
 * Which rules the iptables chains of others need, as a pure function of what is there. Docker sets
 * the policy of FORWARD to DROP and asks DOCKER-USER first; ufw and the like do the same for INPUT.
 * Our own tables have judged every such packet by then, so these rules only have to let it pass.
 */

export interface IptablesRule {
  readonly chain: string;
  readonly rule: readonly string[];
}

/** Marks our rules for whoever lists them. */
const comment = ['-m', 'comment', '--comment', 'tsc-compose'] as const;

/**
 * @param listing what `iptables -S` prints
 * @param bridge the containers' bridge
 * @param wireguard the mesh device
 */
export function iptablesRules(
  listing: string,
  bridge: string,
  wireguard: string,
): readonly IptablesRule[] {
  const lines = listing.split('\n');
  const rules: IptablesRule[] = [];
  const hasDocker = lines.includes('-N DOCKER-USER');
  const chain = hasDocker ? 'DOCKER-USER' : 'FORWARD';
  if (hasDocker || isClosed(lines, 'FORWARD')) {
    const matches = [
      ['-i', wireguard, '-o', bridge],
      ['-i', bridge, '-o', wireguard],
      ['-i', wireguard, '-o', wireguard],
      ['-o', bridge, '-m', 'conntrack', '--ctstate', 'DNAT'],
      ['-o', wireguard, '-m', 'conntrack', '--ctstate', 'DNAT'],
      ['-i', wireguard, '-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'],
      // Not Docker's own rules for the bridge alone: without them containers had no way out.
      ...(hasDocker
        ? []
        : [
            ['-i', bridge],
            ['-o', bridge],
          ]),
    ];
    for (const match of matches)
      rules.push({ chain, rule: [...match, ...comment, '-j', 'ACCEPT'] });
  }
  if (isClosed(lines, 'INPUT')) {
    for (const device of [bridge, wireguard]) {
      rules.push({ chain: 'INPUT', rule: ['-i', device, ...comment, '-j', 'ACCEPT'] });
    }
  }
  return rules;
}

function isClosed(lines: readonly string[], chain: string): boolean {
  return lines.includes(`-P ${chain} DROP`);
}
