# import: what is refused names the entry, leaves nothing, and says what can be done.
make_project
run take
run import
run import nowhere.tar
run import a.txt
run import .
mkdir outside
echo x >outside/file
tar -cf up.tar -P outside/../a.txt
run import up.tar
run import up.tar -n 'a/b'
run -q import up.tar
json import up.tar
say cut short, plain and compressed
tar -cf whole.tar outside
head -c 700 whole.tar >cut.tar
run import cut.tar
head -c 1536 whole.tar >cut.tar
run import cut.tar
gzip -nc whole.tar >whole.tar.gz
head -c -12 whole.tar.gz >cut.tar.gz
run import cut.tar.gz
say a flipped bit in a compressed one is found by its checksum
cp whole.tar.gz flipped.tar.gz
size=$(stat -c %s flipped.tar.gz)
printf '\377\377\377\377' | dd of=flipped.tar.gz bs=1 seek=$((size - 8)) conv=notrunc status=none
run import flipped.tar.gz
say bombs and large ones
run import whole.tar --max-size 100
run import whole.tar --max-entries 1
run import whole.tar --max-ratio 0
head -c 300M /dev/zero >zeros
tar -cf - zeros | gzip -1 >bomb.tar.gz
run import bomb.tar.gz --max-ratio 100
rm zeros bomb.tar.gz
run log
