# Going back works on overlayfs, where directories of a lower layer cannot be renamed.
need_root "mount"

plant() {
    mkdir -p "$1/d/e/f"
    for at in d d/e d/e/f; do
        echo "one of $at" >"$1/$at/a"
        echo "two of $at" >"$1/$at/b"
    done
    ln -s a "$1/d/link"
    chmod 750 "$1/d/e"
    setfattr -n user.t -v 1 "$1/d/e"
    touch -d 2001-02-03 "$1/d" "$1/d/e"
}

state() {
    find . -printf '%p %y %m %T@ %l %n\n' | sed '/ d /s/ [0-9]*$//' | sort
    find . -type f -exec sha1sum {} + | sort
    getfattr -R -d -m user . 2>/dev/null
}

# run, and whether the project is then as it was when STATE was kept
expect() {
    local want=$1
    shift
    run "$@"
    state >"$HERE/now"
    diff "$HERE/$want" "$HERE/now" && echo "as $want"
    find . -name '.snapctl-*'
}

# There and back, with a project in the lower layer.
go() {
    cd "$HERE" || exit
    mkdir -p lower/project upper overlay-work merged
    plant lower/project
    local overlay=(-t overlay overlay -o "lowerdir=$HERE/lower,upperdir=$HERE/upper,workdir=$HERE/overlay-work" "$HERE/merged")
    mount_it "${overlay[@]}"
    cd "$HERE/merged/project" || exit
    run -q take
    state >"$HERE/first"
    say "files and directories beside those of the lower layer"
    mkdir d/e/new new
    echo new >d/e/new/n
    echo new >new/n
    echo changed >d/e/a
    rm d/b d/link
    state >"$HERE/second"
    expect first rollback 1
    expect second undo
    expect first redo
    run status
    say "directories of the lower layer that went come back"
    rm -r d/e
    state >"$HERE/third"
    expect first rollback 1
    expect third undo
    expect first redo
    run status
    say "directories of the lower layer go"
    cd "$HERE" || exit
    umount merged
    mkdir -p lower/project/late/empty
    plant lower/project/late
    mount "${overlay[@]}"
    cd "$HERE/merged/project" || exit
    state >"$HERE/fourth"
    expect first rollback 1
    expect fourth undo
    expect first redo
    run status
    find "$HERE/merged" "$HERE/store" -path '*work/?*'
    unmount_all
    rm -r "$HERE"/{lower,upper,overlay-work}
}

say "the store is elsewhere"
SNAPCTL_STORE=$HERE/store
export SNAPCTL_STORE
go
say "the store is there too"
mkdir -p "$HERE/upper"
SNAPCTL_STORE=$HERE/merged/store
go
