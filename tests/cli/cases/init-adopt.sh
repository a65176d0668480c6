# A directory that was replaced is not the project any more, until it is adopted.
run -q take
snapctl -q take
cd ..
mv project gone && rm -rf gone && mkdir project
cd project || exit
echo new >new.txt
run status
run take
run init --adopt
run log
run status
