#!/bin/bash
# A workspace and a view exported by nfs-ganesha, and a client that keeps a file open over copy-up, another mount, another server.
# In a network and a /run of its own. SPDX-License-Identifier: GPL-2.0-or-later
#
# usage: nfs.sh SNAPCTL_OVERLAY SNAPCTL NFS_CLIENT      NFS_CLIENT '': it could not be built
# shellcheck disable=SC1083,SC2093,SC2119,SC2154,SC2317
set -u
skip() { echo "0 passed, 0 failed, 1 skipped: $1"; exit 77; }
[ -n "$3" ] || skip "there is no libnfs"
command -v ganesha.nfsd >/dev/null || skip "there is no nfs-ganesha"
[ -n "$(find /usr/lib -name libfsalvfs.so 2>/dev/null)" ] || skip "there is no nfs-ganesha-vfs"
command -v rpcbind >/dev/null || skip "there is no rpcbind"
command -v ip >/dev/null || skip "there is no ip"
[ "$(id -u)" = 0 ] || skip "a file server takes root"
if [ -z "${OWN_NETWORK-}" ]; then
    unshare -n -m true 2>/dev/null || skip "no namespaces can be made"
    OWN_NETWORK=1 exec unshare -n -m -- "$0" "$@"
fi
unset -f skip
SNAPCTL=$(realpath -e "$2") || exit 2
CLIENT=$(realpath -e "$3") || exit 2
# shellcheck source=tests/mount/lib.sh
. "$(dirname "$0")/lib.sh"
export SNAPCTL_STORE=$scratch/store XDG_STATE_HOME=$scratch/state
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/rpcbind
rpcbind -f &
portmapper=$!

# the server
cat >ganesha.conf <<TEXT
NFS_CORE_PARAM {
    Protocols = 3, 4;
    NFS_Port = 20049;
    MNT_Port = 20048;
    Mount_Path_Pseudo = true;
    Enable_NLM = false;
    Enable_RQUOTA = false;
}
NFSv4 { Graceless = true; RecoveryBackend = fs; RecoveryRoot = $scratch/recovery; }
NFS_KRB5 { Active_krb5 = false; }
EXPORT {
    Export_Id = 1; Path = $scratch/space; Pseudo = /space; Filesystem_Id = 1.1;
    Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL { Name = VFS; }
}
EXPORT {
    Export_Id = 2; Path = $scratch/view; Pseudo = /view; Filesystem_Id = 1.2;
    Access_Type = RO; Squash = No_Root_Squash; SecType = sys; FSAL { Name = VFS; }
}
TEXT
mkdir recovery
server=
start_server() {
    ganesha.nfsd -F -f "$scratch/ganesha.conf" -L "$scratch/ganesha.log" -p "$scratch/ganesha.pid" -N EVENT &
    server=$!
    until (exec 3<>/dev/tcp/127.0.0.1/20049) 2>/dev/null; do
        kill -0 "$server" 2>/dev/null || { tail -n 20 ganesha.log; return 1; }
    done
}
stop_server() { kill -TERM "$server" && wait "$server"; }
trap 'kill $portmapper; [ -z "$server" ] || kill -KILL $server 2>/dev/null; clean_up' EXIT

# ask COMMAND...: one line to the client that stays, one line back
ask() {
    local line
    echo "$*" >&$to
    read -r -t 60 line <&$from || line="no answer"
    echo "${line#ok }"
}
# connect EXPORT VERSION
connect() {
    coproc client { exec "$CLIENT" "nfs://127.0.0.1/$1?version=$2&nfsport=20049&mountport=20048&uid=0&gid=0"; }
    local line
    client_pid=$client_PID
    exec {to}>&"${client[1]}" {from}<&"${client[0]}" {client[0]}<&- {client[1]}>&-
    read -r -t 60 line <&"$from" || line="no answer"
    same "a client mounts $1 by NFS $2" ok "$line"
}
disconnect() {
    exec {to}>&- {from}<&-
    wait "$client_pid"
}

mkdir -p project/dir space view
echo below >project/file
echo deep >project/dir/deep
ln project/file project/link
ln -s file project/symlink
"$SNAPCTL" -q -C project take
"$SNAPCTL" -q -C project workspace add --from 1 try "$scratch/space"
"$SNAPCTL" -q -C project mount 1 "$scratch/view"
check "a server exports both" start_server || finish

connect view 4
same "a view is listed" "dir file link symlink" "$(ask list /)"
same "and read" below "$(ask cat /file)"
disconnect

connect space 4
same "a workspace is listed" "dir file link symlink" "$(ask list /)"
same "a file is opened" ok "$(ask open 0 /file)"
same "a file is read" below "$(ask read 0)"
number=$(ask number 0)
chmod 600 space/file
same "it has its number after copy-up, by another name" "${number%% *}" "$(stat -c %i space/link)"
same "who had it open before the copy reads on" below "$(ask read 0)"
same "writes" ok "$(ask write 0 0 BELOW)"
same "the copy" BELOW "$(cat space/link)"
same "not what is below" below "$(cat project/file)"
same "one number, two links" "${number% *}" "$(ask number 0 | sed 's/ [0-9]*$//')"
same "writes" ok "$(ask put /new made)"
same "renames" ok "$(ask rename /new /dir/moved)"
same "renames a directory" ok "$(ask rename /dir /there)"
same "reads below it" made "$(ask cat /there/moved)"
same "and what was always there" deep "$(ask cat /there/deep)"
same "makes directories" ok "$(ask mkdir /made)"
same "removes" ok "$(ask remove /there/moved)"
same "and them" ok "$(ask rmdir /made)"
same "which is gone" "file link symlink there" "$(find space -mindepth 1 -maxdepth 1 -printf '%f\n' | sort | xargs)"
disconnect

# another process serves the mount, and then another server exports it; a client of NFS 3 has nothing but handles all the time
connect space 3
same "a file that was changed is opened" ok "$(ask open 0 /link)"
same "and one that was not" ok "$(ask open 1 /there/deep)"
stop_server
"$SNAPCTL" -q umount space
"$SNAPCTL" -q umount view
"$SNAPCTL" -q -C project mount try "$scratch/space"
"$SNAPCTL" -q -C project mount 1 "$scratch/view"
check "a server exports them again" start_server || finish
same "a handle from before is good" BELOW "$(ask read 0)"
same "the other one, too" deep "$(ask read 1)"
chmod 600 space/there/deep
same "it writes what was copied meanwhile" ok "$(ask write 1 0 DEEP)"
same "and nothing else" "DEEP deep" "$(cat space/there/deep project/dir/deep | xargs)"
rm space/there/deep && echo another >space/there/deep
stop_server                # it keeps files open for a while
check "a server exports them a third time" start_server || finish
same "a removed file is gone for it, whatever has its name" "error Stale file handle" "$(ask number 1)"
disconnect
connect space 4
same "what was written is there" BELOW "$(ask cat /link)"
same "its number, too" "${number%% *}" "$(ask stat /file | cut -d ' ' -f 1)"
disconnect
stop_server
server=
"$SNAPCTL" -q umount space
"$SNAPCTL" -q umount view
finish
