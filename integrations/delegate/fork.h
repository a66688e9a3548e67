// Go's runtime does not survive a fork: only the calling thread exists in the child, and a call into Go would hang.
#ifndef IMPRINT_FORK_H
#define IMPRINT_FORK_H

// In a forked child, returns a sentence that says so, and else NULL.
const char *forked(void);

// Returns a call to Go, whose last argument is error. In a forked child it sets *error, unless error is NULL, and returns
// IMPRINT_ERROR.
#define GUARDED(call) (forked() ? refuse(error) : (call))
int refuse(char **error);

#endif
