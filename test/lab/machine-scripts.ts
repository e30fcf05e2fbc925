/**
 * Shell that runs inside a machine, where there is no Node yet. Arguments come as positional
 * parameters, never by pasting text into the script.
 */

/** Folders with a layer of the machine's own over this machine's. */
export const layeredDirs = ['/etc', '/root', '/srv', '/opt', '/home', '/var/lib'];

/**
 * Process 1 of a machine: private mounts, then a first process that reaps.
 * $1 name, $2 folder, $3 control groups, $4 busybox, $5 docker-init, $6 folders to layer
 */
export const bootScript = `
set -eu
name=$1 dir=$2 groups=$3 busybox=$4 init=$5 layered=$6
for group in $groups; do echo 0 > "$group/cgroup.procs"; done
"$busybox" hostname "$name"

# Names of other network namespaces would keep those alive after they were deleted.
umount -R -l /run/netns 2>/dev/null || true
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /run/wireguard /run/tmp
if [ ! /var/run -ef /run ]; then mount --bind /run /var/run; fi

for below in $layered; do
  mkdir -p "$dir/disk/upper$below" "$dir/disk/work$below"
  mount -t overlay overlay "$below" \\
    -o "lowerdir=$below,upperdir=$dir/disk/upper$below,workdir=$dir/disk/work$below"
done
for below in /var/lib/docker /var/lib/tsc-compose; do
  mkdir -p "$below"
  mount --bind "$dir/disk$below" "$below"
done

# A fresh sysfs shows this network namespace's links; the control groups move over to it.
mkdir /run/sys
mount -t sysfs sysfs /run/sys
if [ -d /sys/fs/cgroup ]; then mount --rbind /sys/fs/cgroup /run/sys/fs/cgroup; fi
mount --move /run/sys /sys
rmdir /run/sys

if [ ! -e /dev/net/tun ]; then
  mkdir -p /dev/net
  mount -t tmpfs tmpfs /dev/net
  mknod /dev/net/tun c 10 200
fi
echo 1 > /proc/sys/net/ipv4/ip_forward
: > "$dir/ready"
exec "$init" -- "$busybox" sleep 2147483647
`;

/**
 * Starts a program that stays when its starter goes. Prints its pid.
 * $1 log file, $2 control groups, then the program and its arguments
 */
export const spawnScript = `
log=$1 groups=$2
shift 2
for group in $groups; do echo 0 > "$group/cgroup.procs"; done
setsid "$@" >> "$log" 2>&1 < /dev/null &
echo $!
`;
