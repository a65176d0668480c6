# A quota that runs out halfway, on an ordinary user: nothing is lost, and it is said.
need_root "mount"
command -v setpriv >/dev/null || skip "there is no setpriv(1)"
setpriv --reuid=65534 --regid=65534 --clear-groups test -x "$SNAPCTL" || skip "another user cannot run the program"
mount_new btrfs 512M "$HERE/disk"
btrfs -q quota enable "$HERE/disk" 2>/dev/null || skip "quota cannot be used here"
for volume in mine store; do btrfs -q subvolume create "$HERE/disk/$volume" || skip "no subvolumes can be made"; done
# leave MINE STORE: as many KiB more than are used now; nothing: no limit
leave() {
    local volume group used
    for volume in mine store; do
        group=0/$(btrfs inspect-internal rootid "$HERE/disk/$volume")
        sync -f "$HERE/disk"
        used=$(btrfs qgroup show --raw "$HERE/disk" | awk -v group="$group" '$1 == group { print $2 }')
        btrfs qgroup limit "$([ $# -eq 0 ] && echo none || echo $((used + $1 * 1024)))" "$group" "$HERE/disk"
        [ $# -eq 0 ] || shift
    done
}
chmod 755 "$HERE/.." "$HERE"
chown 65534:65534 "$HERE"/disk/{mine,store} "$HERE"/{home,state}
chmod 700 "$HERE/disk/store"
cat >"$HERE/as-other" <<END
#!/bin/sh
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$SNAPCTL" "\$@"
END
chmod 755 "$HERE/as-other"
SNAPCTL=$HERE/as-other
# shellcheck disable=SC2016
fill() { setpriv --reuid=65534 --regid=65534 --clear-groups sh -c 'head -c "$2" /dev/zero | tr "\\0" "$3" >"$1"' - "$@"; }
setpriv --reuid=65534 --regid=65534 --clear-groups mkdir "$HERE/disk/mine/project"
cd "$HERE/disk/mine/project" || exit
for file in a b c d; do fill $file 1000000 1; done
snapctl -q init --store "$HERE/disk/store"
snapctl -q take
snapctl -q export 1 -o ../one.tar
for file in b c d; do fill $file 1000000 2; done
in_work() { find "$HERE/disk/store/work" -mindepth 1 | wc -l; }
sums() { cksum a b c d; }
unchanged() { [ "$(sums)" = "$before" ] && echo 'the project is as it was'; }
named() { run "$@" 2>&1 | sed -E "s/'[^' ]*'/'F'/g"; }
before=$(sums)
say "take"
leave 100000 1500
named take
in_work
unchanged
run log
leave
run take
say "rollback"
leave 1500 100000
named rollback 1
unchanged
run log -n 2
run status
leave
run rollback 1
before=$(sums)
say "undo"
leave 1500 100000
named undo
unchanged
leave
run undo
before=$(sums)
say "import"
leave 100000 1500
named import ../one.tar
in_work
unchanged
leave
named import ../one.tar
say "restore"
leave 1500 100000
named restore 1: ../out
ls ..
leave
run restore 1: ../out
run verify
