# Copies everything while the old bucket is still in use.

move sync
