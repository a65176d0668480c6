# take: the result line, names, messages, nothing changed.
make_project
run take -m 'first' -n good
run take --if-changed
json take --if-changed
run take
echo two >>a.txt
rm link
mkdir new
json take -n better --no-sync
run take -n better
run take -n 'a/b'
run take -n ''
run -q take
run take extra
