# What .snapctlignore excludes is neither captured nor removed.
make_project
echo '*.o' >.snapctlignore
echo object >main.o
run take
run ls 1
echo again >main.o
run status
rm a.txt
run rollback
cat main.o a.txt
