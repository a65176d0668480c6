# git apply and patch(1) accept the patches.
if ! command -v git >/dev/null || ! command -v patch >/dev/null; then
    skip "there is no git(1) or no patch(1)"
fi
make_project
snapctl -q take
cp -a . "$HERE/by-git"
cp -a . "$HERE/by-patch"
echo two >>a.txt
mv src/main.c src/moved.c
chmod 755 src/moved.c
rm link
mkdir -p new/empty
printf 'no newline' >new/end
: >'new/sp ace'
setfattr -n user.note -v x a.txt 2>/dev/null
snapctl diff -p >"$HERE/patch"
(cd "$HERE/by-git" && git apply "$HERE/patch" && find . | sort && cat a.txt new/end) && echo
(cd "$HERE/by-patch" && patch -s -p1 <"$HERE/patch" && find . | sort && cat a.txt new/end) && echo
