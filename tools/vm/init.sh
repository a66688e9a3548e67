#!/bin/busybox sh
# The machine's first process: loads the modules, runs /command, prints its
# exit status on the second serial port, and powers off.
/bin/busybox --install -s /bin
export PATH=/work:/bin HOME=/tmp TMPDIR=/tmp LD_LIBRARY_PATH=/work:/lib
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
ip link set lo up
while read -r module; do insmod "/modules/$module"; done </modules/load
stty -F /dev/ttyS1 raw
sh /command </dev/null >/dev/ttyS1 2>&1
printf '\036status %d\n' $? >/dev/ttyS1
stty -F /dev/ttyS1 sane # waits until all output is written
poweroff -f
