# The same project by a symlink, another path, a bind mount, as another user: the same store, or a refusal; never two.
make_project
run take
stores() {
    find "$HERE" -xdev -name store.db | wc -l
}
ln -s project "$HERE/link"
run -C "$HERE/link" take --if-changed
run -C "$HERE/link/src" log
run -C "$HERE/project/../link/./src/.." log
run init "$HERE/link"
stores
say "moved away and back: the project goes along"
cd "$HERE" || exit
mv project elsewhere
run -C elsewhere status
run -C elsewhere log
mv elsewhere project
run -C project log
stores
need_root "mount and be somebody else"
say "by a bind mount, of it and of a directory in it"
mkdir bound below
mount_it --bind project bound
mount_it --bind project/src below
echo two >bound/a.txt
run -C bound status
run -C bound take
run -C bound/src log
run -C project log
run init bound
stores
unmount_all
cd "$HERE" || exit
say "root in the project of a user"
for needed in setpriv unshare; do
    command -v $needed >/dev/null || skip "there is no $needed(1)"
done
chmod 755 "$HERE/.." && mkdir -p user/home user/project/theirs user/project/roots && echo 1 >user/project/f
id=54321
chown -R "$id:$id" user && chown root:root user/project/roots
# users of this test alone: two lines in a copy of passwd(5), seen by what runs in here
{ cat /etc/passwd && echo "someone:x:$id:$id::$HERE/user/home:/bin/sh"; } >passwd
program=$SNAPCTL
as() {
    local uid=$1 home=$2 dir=$3
    shift 3
    echo "$ snapctl $* (as $uid, in ${dir#"$HERE"/})"
    # shellcheck disable=SC2016
    env -u XDG_STATE_HOME HOME="$home" unshare -m sh -c 'mount --bind "$1" /etc/passwd && cd "$2" && shift 2 && exec setpriv "$@"' \
        - "$HERE/passwd" "$dir" --reuid="$uid" --regid="$uid" --clear-groups "$program" "$@" 2>&1 | sed "s/belongs to user $id/belongs to user ID/"
    [ "${PIPESTATUS[0]}" -eq 0 ] || echo "failed"
}
as $id "$HERE/user/home" user/project --version | grep -q '^snapctl [0-9]' || skip "another user cannot run the program"
as $id "$HERE/user/home" user/project -q take
as $id "$HERE/user/home" user/project log
mkdir root
say "su and sudo -H"
as 0 "$HERE/root" "$HERE/user/project" take
as 0 "$HERE/root" "$HERE/user/project/theirs" init "$HERE/user/project"
as 0 "$HERE/root" "$HERE/user/project/theirs" take
say "from a directory in it that is root's"
as 0 "$HERE/root" "$HERE/user/project/roots" take
say "sudo -E"
as 0 "$HERE/user/home" "$HERE/user/project" take
as 0 "$HERE/user/home" "$HERE/user/project" rollback
say "nothing of it belongs to root, and there is one store"
find user -uid 0 -printf '%P\n'
find user root -name store.db | wc -l
as $id "$HERE/user/home" user/project log
