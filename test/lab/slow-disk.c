/*
 * Loaded into one program with LD_PRELOAD, it makes every flush of a file take as long as
 * TSC_COMPOSE_FLUSH_MS says: a disk that is slow for this program alone, whatever disk there is.
 * No header is needed, so no development package is.
 */
extern int usleep(unsigned int microseconds);
extern char *getenv(const char *name);
extern int atoi(const char *text);
extern void *dlsym(void *handle, const char *symbol);

typedef int (*flush)(int descriptor);

static int slowly(const char *symbol, int descriptor) {
  const char *text = getenv("TSC_COMPOSE_FLUSH_MS");
  /* The next one of this name: the C library's. */
  flush real = (flush)dlsym((void *)-1, symbol);
  if (text) usleep(1000u * (unsigned int)atoi(text));
  return real(descriptor);
}

int fsync(int descriptor) { return slowly("fsync", descriptor); }
int fdatasync(int descriptor) { return slowly("fdatasync", descriptor); }
