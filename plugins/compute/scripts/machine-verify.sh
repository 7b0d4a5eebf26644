# Compares each pair of disks; a larger target may have zeros at its end.

disks from >"$HOME/old"
disks to >"$HOME/new"
paste "$HOME/old" "$HOME/new" >"$HOME/pairs"
number=0
while read -r old new; do
    number=$((number + 1))
    say "comparing disk $number"
    qemu-img compare -f "$(format from)" -F "$(format to)" "$old" "$new" </dev/null >&2 || fail "disk $number differs from the old one"
done <"$HOME/pairs"
