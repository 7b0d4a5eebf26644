# Fetches what was written to the old bucket after the last comparison. The new bucket is in use by now: nothing there is
# removed, and nothing newer is overwritten.

move copy --update
