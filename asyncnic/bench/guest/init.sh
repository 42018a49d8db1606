#!/bin/busybox sh
# First process of the lab's guest: mounts, loads what the agent needs, then runs the commands that come over the port.
# A command comes as one line of base64; back goes "EXIT-CODE SIZE" and SIZE octets of its output.
/bin/busybox mkdir -p /dev /proc /sys /tmp /run /sbin /usr/sbin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts
mount -t tmpfs shm /dev/shm
for module in $(cat /etc/boot-modules); do insmod "$module"; done
ip link set lo up
hostname guest
export PATH=/opt/asyncnic/bin:/bin:/usr/bin:/usr/sbin:/sbin HOME=/root PYTHONPATH=/opt/asyncnic/packages PYTHONDONTWRITEBYTECODE=1
cd /tmp || poweroff -f
while [ ! -e /dev/vport0p1 ]; do sleep 0.05; done
exec 3<>/dev/vport0p1
echo "0 0" >&3
while read -r line <&3; do
    echo "$line" | base64 -d >/run/command
    sh /run/command >/run/output 2>&1 </dev/null 3>&-
    code=$?
    { echo "$code $(wc -c </run/output)"; cat /run/output; } >&3
done
poweroff -f
