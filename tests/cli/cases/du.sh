# du: who holds what.
sizes() { sed -E '/on disk/,$ s/^ +[0-9.]+ [KM]?i?B/      SIZE/'; }
du() { run du | sizes; }
du
head -c 1000 /dev/zero >always
head -c 2000 /dev/zero >f
snapctl -q take -n one
head -c 3000 /dev/zero >f
snapctl -q take
head -c 4000 /dev/zero >f
snapctl -q rollback 1
du
snapctl -q rm 2
du
run gc --now
du
snapctl --json du | sed -E 's/_allocated":[0-9]+/_allocated":0/g' | "$CHECK_JSON"
run du 5
