# Immutable and append-only files, a security.capability after chown: captured, restored as far as the privilege goes.
need_root "set such flags"
command -v chattr >/dev/null || skip "there is no chattr(1)"
for name in fixed log plain; do echo 1 >$name; done
mkdir frozen
echo 1 >frozen/in
cp /bin/true tool
say "a capability goes with a chown, and comes back"
if setcap cap_net_raw+ep tool 2>/dev/null; then
    snapctl -q take
    chown 1:1 tool
    getcap tool
    run status --porcelain
    run rollback
    getcap tool
    stat -c %u:%g tool
    say "and onto a file of another owner, where the chown comes first"
    setcap -r tool
    chown 1:1 tool
    setcap cap_net_admin+ep tool
    snapctl -q take
    chown 0:0 tool
    echo >tool
    run rollback
    getcap tool
    stat -c %u:%g tool
else
    skip "no capabilities of files here"
fi
snapctl -q take -n flags
for name in fixed log plain frozen/in; do echo 22 >$name; done
chattr +i fixed 2>/dev/null || skip "no flags of files here"
release() {
    chattr -i "$HERE/project/fixed" "$HERE/project/frozen"
    chattr -a "$HERE/project/log"
}
trap release EXIT
chattr +a log
chattr +i frozen
run status
run take
say "what cannot be changed is named, everything else is done"
run rollback flags
tail -n +1 fixed log plain frozen/in
json rollback flags
release
say "without the flags the rest is done"
run rollback flags
tail -n +1 fixed log plain frozen/in
