#!/bin/sh
# The first process of the virtual machine, run by busybox before Debian is there. Mounts the Debian on the first disk so that
# what is written stays in memory, the job on the second one at /mnt, and has systemd run it once everything is up.
b=/bin/busybox
$b mount -t devtmpfs none /dev
$b mount -t proc none /proc
$b mount -t sysfs none /sys
for module in /modules/*.ko; do $b insmod "$module" 2>/dev/null; done
n=0
while [ ! -b /dev/vdc ] && [ $n -lt 200 ]; do
  $b usleep 50000
  n=$((n + 1))
done
$b mount -t ext4 -o ro /dev/vda /lower
$b mount -t tmpfs -o size=100% none /rw
$b mkdir /rw/upper /rw/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/rw/upper,workdir=/rw/work none /new
$b mkdir -p /new/mnt
$b mount -t ext4 -o ro /dev/vdb /new/mnt
units=/new/etc/systemd/system
$b cat >$units/job.service <<'UNIT'
[Unit]
After=multi-user.target
[Service]
ExecStart=/bin/bash -c "bash /mnt/run 2>&1 | tee /dev/console >/tmp/printed; dd if=/tmp/printed of=/dev/vdc conv=notrunc,fsync 2>/dev/null; systemctl poweroff"
UNIT
$b mkdir -p $units/multi-user.target.wants
$b ln -s ../job.service $units/multi-user.target.wants/job.service
$b umount /sys
$b umount /proc
$b mount --move /dev /new/dev
exec $b switch_root /new /sbin/init
