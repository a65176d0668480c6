# What an archive cannot hold is named.
command -v python3 >/dev/null || skip "there is no python3 to make a socket"
python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("socket")'
echo one >a.txt
touch -d @1000000000 a.txt .
snapctl -q take
run export 1 -o ../x.tar
tar -tf ../x.tar
json export 1 -o ../y.tar
