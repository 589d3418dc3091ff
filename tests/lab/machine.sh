# SPDX-License-Identifier: Apache-2.0
# Process 1 of a machine: moves the namespaces it was started in to a root of their own, then waits.
# Arguments: host name, process id of the owner, the directories that are its root together, with colons between them, and
# the directory that keeps what is changed, if any, and "boot" for systemd as process 1 in the end. Says "ready" once everything is mounted. Ends, and everything in the
# namespace with it, when its standard input does, that is when the owner ends.
set -eu

end=${5:-}

echo "$1" >/proc/sys/kernel/hostname
# Everything that a machine changes is in this file system in memory, and vanishes with the namespace.
mount -n -t tmpfs -o mode=0755 mthook-lab /run
mkdir /run/upper /run/work /run/root
if [ -z "$3" ]; then
    mount -n --bind "$4" /run/root
elif [ -n "$4" ]; then
    mkdir "$4.work"
    mount -n -t overlay -o "lowerdir=$3,upperdir=$4,workdir=$4.work" mthook-lab /run/root
else
    mount -n -t overlay -o "lowerdir=$3,upperdir=/run/upper,workdir=/run/work" mthook-lab /run/root
fi
cd /run/root

mount -n -t proc mthook-lab proc
mount -n -t sysfs mthook-lab sys
mount -n -t tmpfs -o mode=0755 mthook-lab run
mkdir -p run/lock run/mthook-lab
chmod 1777 run/lock
echo "$2" >run/mthook-lab/owner

mount -n -t tmpfs -o mode=0755 mthook-lab dev
for device in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0" "fuse 10 229" "kvm 10 232" "net/tun 10 200"; do
    set -- "$1" "$2" $device
    mkdir -p "$(dirname "dev/$3")"
    mknod -m 666 "dev/$3" c "$4" "$5"
done
mkdir dev/pts dev/shm
mount -n -t devpts -o newinstance,ptmxmode=666,mode=620 mthook-lab dev/pts
mount -n -t tmpfs -o mode=1777 mthook-lab dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr

mkdir -p mnt
pivot_root . mnt
umount -n -l /mnt

if [ "$end" = boot ]; then
    mount -n -t cgroup2 mthook-lab /sys/fs/cgroup
    echo ready
    exec env -i container=mthook PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --show-status=no \
        --log-target=journal </dev/null >/dev/null 2>&1
fi

# Perl and Python are in every root; the kernel must reap what ends in here, and shells don't let it.
exec perl -e '
$SIG{CHLD} = "IGNORE";
$| = 1;
print "ready\n";
1 while sysread(STDIN, $_, 1);
' mthook-machine "$2"
