# Times alone are shown only when asked for.
echo x >x
touch -d '2001-02-03 04:05:06 UTC' x
snapctl -q take
touch -d '2001-02-03 04:05:07 UTC' x
run diff
run diff --times
run diff --times --exit-code
json diff --times
