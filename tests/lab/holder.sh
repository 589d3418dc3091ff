# SPDX-License-Identifier: Apache-2.0
# Process 1 of a lab host: gives the namespaces it was started in their own directories, then waits.
# Arguments: host name, process id of the owner, a Python interpreter. Says "ready" once everything
# is mounted. Ends, and everything in the namespace with it, when its standard input does, that is
# when the owner ends.
set -eu

hostname "$1" 2>/dev/null || echo "$1" >/proc/sys/kernel/hostname
# -n: without it the first mount would leave a directory of its own, /run/mount, on the machine.
mount -n -t tmpfs -o mode=0755 mthook-lab /run
mkdir /run/lock /run/mthook-lab
echo "$2" >/run/mthook-lab/owner

# Mount points that this machine lacks are made in an overlay: they exist in here only, as does what setup writes.
for directory in /etc /usr/local/share /var/lib /var/cache /var/log; do
    layer=/run/mthook-lab/layer$(echo "$directory" | tr / -)
    mkdir -p "$layer/upper" "$layer/work"
    mount -t overlay -o "lowerdir=$directory,upperdir=$layer/upper,workdir=$layer/work" mthook-lab "$directory"
done
for directory in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt /etc/mthook /var/lib/mthook; do
    mkdir -p "$directory"
    mount -t tmpfs -o mode=0755 mthook-lab "$directory"
done
chmod 0700 /var/lib/mthook

# libvirtd doesn't start without its default user, even where its configuration names another one.
for file in /etc/passwd /etc/group; do
    grep -q '^libvirt-qemu:' "$file" && continue
    case $file in
    /etc/passwd) echo 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin' >>"$file" ;;
    /etc/group) echo 'libvirt-qemu:x:64055:' >>"$file" ;;
    esac
done

# Python waits, for the kernel must reap what ends in here (to libvirtd a zombie QEMU is still
# alive) and shells don't let it.
exec "$3" -I -S -c '
import signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.read()
' mthook-lab-holder "$2"
