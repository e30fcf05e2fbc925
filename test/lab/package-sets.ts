/**
 * Which Debian packages the lab unpacks and which programs it takes out of them. Only data.
 *
 * Libraries that every Debian 12 has (libc, libstdc++) are not in a set that ends up in
 * LD_LIBRARY_PATH: mixing two C libraries in one process ends badly. `base` holds them for images.
 */

/** One folder of unpacked packages. */
export interface PackageSet {
  readonly suite: 'bookworm' | 'forky';
  readonly packages: readonly string[];
  /** Program name to its path below the folder, with arguments that always come first. */
  readonly programs: Readonly<Record<string, Program>>;
}

/** A program that gets an entry in the set's `bin` folder. */
export interface Program {
  readonly path: string;
  readonly arguments?: readonly string[];
  /** The file itself is needed (it is mounted into containers), not a script that starts it. */
  readonly asLink?: boolean;
}

export type PackageSetName =
  | 'bookworm'
  | 'forky'
  | 'base'
  | 'compose'
  | 'terminal'
  | 'serf'
  | 'registry'
  | 'compiler';

const at = (path: string, ...first: readonly string[]): Program => ({ path, arguments: first });
const link = (path: string): Program => ({ path, asLink: true });

const xtables = (name: string): Program => at('usr/sbin/xtables-nft-multi', name);

export const packageSets: Readonly<Record<PackageSetName, PackageSet>> = {
  bookworm: {
    suite: 'bookworm',
    packages: [
      'docker.io',
      'containerd',
      'runc',
      'tini',
      'libdevmapper1.02.1',
      'libseccomp2',
      'libsystemd0',
      'libudev1',
      'libselinux1',
      'libpcre2-8-0',
      'libcap2',
      'libgcrypt20',
      'libgpg-error0',
      'liblzma5',
      'libzstd1',
      'liblz4-1',
      'iptables',
      'libip4tc2',
      'libip6tc2',
      'libxtables12',
      'libmnl0',
      'libnfnetlink0',
      'libnetfilter-conntrack3',
      'libnftnl11',
      'nftables',
      'libnftables1',
      'libjansson4',
      'libgmp10',
      'libedit2',
      'libbsd0',
      'libmd0',
      'libtinfo6',
      'conntrack',
      'iproute2',
      'libelf1',
      'libbpf1',
      'zlib1g',
      'libtirpc3',
      'libdb5.3',
      'libgssapi-krb5-2',
      'libkrb5-3',
      'libk5crypto3',
      'libkrb5support0',
      'libkeyutils1',
      'libcom-err2',
      'wireguard-tools',
      'wireguard-go',
      'busybox-static',
      'iperf3',
      'libiperf0',
      'libsctp1',
      'redis-server',
      'redis-tools',
      'libjemalloc2',
      'liblzf1',
      'libatomic1',
      'libssl3',
      'liblua5.1-0',
      'lua-cjson',
      'lua-bitop',
      'libhiredis0.14',
    ],
    programs: {
      dockerd: at('usr/sbin/dockerd'),
      docker: at('usr/bin/docker'),
      'docker-proxy': at('usr/sbin/docker-proxy'),
      'docker-init': link('usr/bin/tini-static'),
      containerd: at('usr/bin/containerd'),
      'containerd-shim': at('usr/bin/containerd-shim'),
      'containerd-shim-runc-v1': at('usr/bin/containerd-shim-runc-v1'),
      'containerd-shim-runc-v2': at('usr/bin/containerd-shim-runc-v2'),
      ctr: at('usr/bin/ctr'),
      runc: at('usr/sbin/runc'),
      iptables: xtables('iptables'),
      'iptables-save': xtables('iptables-save'),
      'iptables-restore': xtables('iptables-restore'),
      ip6tables: xtables('ip6tables'),
      'ip6tables-save': xtables('ip6tables-save'),
      'ip6tables-restore': xtables('ip6tables-restore'),
      nft: at('usr/sbin/nft'),
      conntrack: at('usr/sbin/conntrack'),
      ip: at('bin/ip'),
      bridge: at('sbin/bridge'),
      ss: at('bin/ss'),
      wg: at('usr/bin/wg'),
      'wireguard-go': at('usr/bin/wireguard-go'),
      busybox: link('bin/busybox'),
      ping: link('bin/busybox'),
      nc: link('bin/busybox'),
      iperf3: at('usr/bin/iperf3'),
      'redis-server': at('usr/bin/redis-server'),
      'redis-cli': at('usr/bin/redis-cli'),
    },
  },
  forky: {
    suite: 'forky',
    // Its own runc needs a newer C library than Debian 12 has: the one of bookworm serves.
    // The libraries that the others need (libsystemd0 and below) come with apt-get itself.
    packages: ['docker.io', 'docker-cli', 'containerd', 'caddy', 'wireguard-go'],
    programs: {
      dockerd: at('usr/sbin/dockerd'),
      docker: at('usr/bin/docker'),
      'docker-proxy': at('usr/sbin/docker-proxy'),
      containerd: at('usr/bin/containerd'),
      'containerd-shim-runc-v2': at('usr/bin/containerd-shim-runc-v2'),
      ctr: at('usr/bin/ctr'),
      caddy: at('usr/bin/caddy'),
      'wireguard-go': at('usr/bin/wireguard-go'),
    },
  },
  base: {
    // For images only. The C library of the later suite runs programs of both; and the busybox of
    // bookworm crashes on `wget -T`, the static one also in name look-ups.
    suite: 'forky',
    packages: ['libc6', 'libc-bin', 'libgcc-s1', 'libstdc++6', 'libcrypt1', 'netbase', 'busybox'],
    programs: {},
  },
  terminal: {
    // A real terminal for tests of the screen.
    suite: 'bookworm',
    packages: ['tmux', 'libevent-core-2.1-7', 'libutempter0', 'libtinfo6'],
    programs: { tmux: at('usr/bin/tmux') },
  },
  serf: {
    // Measured beside our gossip.
    suite: 'bookworm',
    packages: ['serf'],
    programs: { serf: at('usr/bin/serf') },
  },
  registry: {
    suite: 'bookworm',
    packages: ['docker-registry'],
    programs: { 'docker-registry': at('usr/bin/docker-registry') },
  },
  compiler: {
    // Small enough to be fetched for one library of forty lines (slow-disk.c).
    suite: 'bookworm',
    packages: ['tcc'],
    programs: { tcc: at('usr/bin/tcc') },
  },
  compose: {
    suite: 'forky',
    packages: ['docker-compose'],
    programs: { 'docker-compose': at('usr/libexec/docker/cli-plugins/docker-compose') },
  },
};
