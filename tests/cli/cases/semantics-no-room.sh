# No inodes left, no space left, a file system that turned read-only: nothing is lost, and it is said.
need_root "mount"
mount_it_as() {
    mkdir -p "$HERE/$1"
    mount_it -t tmpfs -o "$2" none "$HERE/$1"
    cd "$HERE/$1" || exit
}
say "inodes, in take"
mkdir "$HERE/big"
for i in $(seq 200); do echo "$i" >"$HERE/big/f$i"; done
mount_it_as inodes nr_inodes=260
mkdir project
cd project || exit
run --store ../store init
cp -r "$HERE"/big/f? .
run take
cp -r "$HERE"/big/f?? "$HERE"/big/f1?? .
before=$(find ../store/work | wc -l)
run take | sed "s/'f[0-9]*'/'F'/"
say "what was begun is gone, and the snapshot there is as it was"
[ "$(find ../store/work | wc -l)" = "$before" ] && echo 'nothing is left'
run log
run cat 1:f1
rm f1?? f4? f5? f6? f7? f8? f9?
run take
say "and in rollback"
rm f?
snapctl -q take -n fewer
for i in $(seq 300); do echo "$i" >"x$i" || break; done 2>/dev/null
code rollback 1
run log -n 3
[ -s x1 ] && echo 'x1 is there'
rm x*
run rollback 1
run diff --exit-code 1
say "space"
mount_it_as space size=3M
mkdir project
cd project || exit
run --store ../store init
head -c 1200000 /dev/zero | tr '\0' a >large
run take
head -c 1200000 /dev/zero | tr '\0' b >large
run take
run rollback
head -c 1 large; echo
run log --all
say "read-only"
mkdir -p "$HERE/disk"
mount_new ext4 16M "$HERE/disk"
mkdir "$HERE/disk/project"
cd "$HERE/disk/project" || exit
echo 1 >f
run --store "$HERE/disk/store" take
echo 2 >f
mount -o remount,ro "$HERE/disk"
run status
run diff 1 -- f
run log
run cat 1:f
run take
run rollback
cat f
mount -o remount,rw "$HERE/disk"
run rollback
cat f
say "only the project is read-only, the store is elsewhere"
mkdir "$HERE/disk/other"
cd "$HERE/disk/other" || exit
echo 1 >f
run init --store "$HERE/store"
run take
echo 2 >f
mount -o remount,ro "$HERE/disk"
run status
run take
run rollback 1
cat f
mount -o remount,rw "$HERE/disk"
run rollback 1
cat f
