# What the kernel shows as files is no project, whatever is asked for.
run init /proc
run init --force /sys
run -C /proc/sys take
