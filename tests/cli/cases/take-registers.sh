# The first take makes the working directory a project and says so.
make_project
run status
run take
mkdir below
cd below || exit
say "below the project it is the same one"
echo x >x
run take
run -v take
