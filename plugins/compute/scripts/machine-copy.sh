# Copies each disk of the old machine over the one of the new machine that is at the same place of its list.

size() {
    qemu-img info --force-share --output json -f "$1" "$2" | sed -n 's/.*"virtual-size": *\([0-9]*\).*/\1/p' | tail -n 1
}

disks from >"$HOME/old"
disks to >"$HOME/new"
if [ "$(wc -l <"$HOME/old")" -ne "$(wc -l <"$HOME/new")" ]; then
    fail "the old machine has $(wc -l <"$HOME/old") disks, the new one $(wc -l <"$HOME/new")"
fi
from_format=$(format from)
to_format=$(format to)
paste "$HOME/old" "$HOME/new" >"$HOME/pairs"
number=0
while read -r old new; do
    number=$((number + 1))
    whole from "$from_format" "$old"
    whole to "$to_format" "$new"
    old_size=$(size "$from_format" "$old")
    new_size=$(size "$to_format" "$new")
    if [ -z "$old_size" ] || [ -z "$new_size" ]; then
        fail "disk $number cannot be reached at both ends; see the log"
    fi
    if [ "$old_size" -gt "$new_size" ]; then
        fail "disk $number of the new machine is smaller than that of the old one"
    fi
    say "copying disk $number"
    # The target is there already and belongs to the provider: it is written, never made.
    qemu-img convert -n -f "$from_format" -O "$to_format" "$old" "$new" </dev/null || fail "disk $number could not be copied"
done <"$HOME/pairs"
