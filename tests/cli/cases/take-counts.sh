# What take counts is what status lists: neither the root nor what changed in its times alone; a rename is one change.
make_project
run status
run take
say "one file of a directory; then its time alone"
echo more >>src/main.c
touch -d '2001-02-03 04:05:06 UTC' src
run status
run take
touch -d '2001-02-03 04:05:07 UTC' a.txt
run status
run take
say "a directory is moved with what is in it, and a file in it changes"
mkdir to
mv src to/source
echo more >>to/source/main.c
chmod 600 a.txt
rm link
run status
json take
run log -n 1
say "against the latest, not against what a command kept by itself"
snapctl -q rollback 1
echo x >x
run status
run take
