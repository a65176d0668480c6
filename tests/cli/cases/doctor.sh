# doctor: what it finds differs by machine, its form does not.
run -q take
say "every line is a result, a topic and a text, or advice"
snapctl doctor >"$HERE/found"
echo "exit $?"
grep -Evc '^((ok|limited|missing) +[a-z0-9-]+  +[^ ]|  +[^ ])' "$HERE/found"
say "outside a project, too"
mkdir "$HERE/none"
snapctl -C "$HERE/none" doctor >/dev/null
echo "exit $?"
say "JSON"
snapctl --json doctor >"$HERE/json"
echo "exit $?"
"$CHECK_JSON" <"$HERE/json" | sed -E 's/"(topic|text|advice)":("[^"]*"|null)/"\1":X/g; s/"result":"(ok|limited|missing)"/"result":X/; s/:[0-9]+/:N/g' | sort -u
run doctor x
