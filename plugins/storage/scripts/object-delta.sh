# Brings the new bucket up to date just before it is used, removals included, and compares the two.

move sync
if [ "$VERIFY" = true ]; then
    move check --one-way ||
        fail "objects of the old bucket are missing or differ in the new one, or are written faster than they are compared"
fi
