# status: what changed, for people, scripts and programs.
make_project
run take -q
run status
run status --exit-code
json status
echo two >>a.txt
chmod 755 src/main.c
rm link
ln -s src link
mkdir new
echo x >'new/sp ace'
run status
run status --porcelain
run status --exit-code --porcelain
run -v status
json status --exit-code
run -q status
say "-z"
snapctl status -z | tr '\0' '|'
echo
run status --porcelain --json
run status extra
