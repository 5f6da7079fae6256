#!/bin/sh
# A job in shell that keeps the job contract, version 1: it counts the lines of its split.
set -eu
case $1 in
describe)
    cat > "$2" <<JSON
{"contract": 1, "ok": true, "gomr": "none", "name": "shell", "serve": false, "reducer": false, "partitions": null,
 "params": {}, "inputs": [], "input": {"format": "lines", "split": "lines"},
 "requires": {"contract": 1, "python": null, "platform": null}}
JSON
    ;;
task)
    field() { sed -n "s/.*\"$1\": \"\\([^\"]*\\)\".*/\\1/p" "$2" | head -n 1; }
    number() { sed -n "s/.*\"inputs\": \\[{[^}]*\"$1\": \\([0-9]*\\).*/\\1/p" "$2"; }
    path=$(sed -n 's/.*"inputs": \[{"path": "\([^"]*\)".*/\1/p' "$2")
    lines=$(tail -c +$(($(number offset "$2") + 1)) "$path" | head -c "$(number length "$2")" | wc -l)
    printf 'lines\t%s\n' "$lines" > "$(field output "$2")"
    echo "counted $lines lines"
    printf '{"contract": 1, "ok": true, "records_in": %s, "records_out": 1}' "$lines" > "$(field result "$2")"
    ;;
*)
    exit 64
    ;;
esac
