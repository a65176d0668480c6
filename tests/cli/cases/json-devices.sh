# JSON of device nodes, which only root can make.
need_root "make device nodes"
mknod block b 7 200 && mknod character c 1 3
chmod 640 block character
touch -d 2020-01-01T00:00:00Z block character
snapctl -q take
json ls latest
