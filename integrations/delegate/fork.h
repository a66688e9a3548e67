// Go's runtime does not survive a fork: only the calling thread exists in the child, and a call into Go would hang.
#ifndef IMPRINT_FORK_H
#define IMPRINT_FORK_H

// In a forked child, returns a sentence that says so, and else NULL.
const char *forked(void);

#endif
