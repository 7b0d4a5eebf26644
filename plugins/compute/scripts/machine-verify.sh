# Compares each pair of disks; a larger target may have zeros at its end.

disks from >"$HOME/old"
disks to >"$HOME/new"
from_format=$(format from)
to_format=$(format to)
paste "$HOME/old" "$HOME/new" >"$HOME/pairs"
number=0
while read -r old new; do
    number=$((number + 1))
    say "comparing disk $number"
    whole from "$from_format" "$old"
    whole to "$to_format" "$new"
    qemu-img compare -f "$from_format" -F "$to_format" "$old" "$new" </dev/null >&2 || fail "disk $number differs from the old one"
done <"$HOME/pairs"
