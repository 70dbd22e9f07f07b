/* zygote APPS FLOOR_MIB < LIBRARIES: a fork server as phones have one. It loads libraries and a heap once; each
   app is a fork that loads more, maps files, starts threads and grows a heap. When less than FLOOR_MIB is
   available, the app that has waited longest is killed. */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PRELOADED = 70, HEAP_MIB = 40, MOST = 64 };
static char *library[1000];
static int libraries;
static char *heap;
static long page;

static long available_mib(void) {
    char line[128]; long kib = 0; FILE *f = fopen("/proc/meminfo", "r");
    while (f && fgets(line, sizeof line, f)) if (sscanf(line, "MemAvailable: %ld", &kib) == 1) break;
    if (f) fclose(f);
    return kib / 1024;
}
static void nap(long ms) { struct timespec t = { ms / 1000, ms % 1000 * 1000000 }; nanosleep(&t, 0); }
static void *worker(void *unused) { char stack[24000]; memset(stack, 1, sizeof stack); for (;;) { nap(700); stack[rand() % 24000]++; } return unused; }

static void app(unsigned seed) {
    srand(seed);
    for (long at = 0; at < HEAP_MIB << 20; at += page) if (rand() % 7 == 0) heap[at]++;    /* copy on write */
    for (int n = 10 + rand() % 25; n; n--) dlopen(library[rand() % libraries], RTLD_LAZY);
    for (int n = 8 + rand() % 10; n; n--) {                                           /* files, a page here and there */
        int fd = open(library[rand() % libraries], O_RDONLY); struct stat st; volatile char sum = 0;
        if (fd < 0 || fstat(fd, &st) || !st.st_size) continue;
        char *p = mmap(0, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0); close(fd);
        if (p != MAP_FAILED) for (long at = 0; at < st.st_size; at += page * (1 + rand() % 30)) sum += p[at];
    }
    for (int n = 6 + rand() % 10; n; n--) { pthread_t t; pthread_create(&t, 0, worker, 0); }
    int chunks = 20 + rand() % 60; char *chunk[80];
    for (int n = 0; n < chunks; n++) {                                                      /* its own heap: 1 MiB each, anywhere */
        void *hint = (void *)(0x10000000UL + (unsigned long)(rand() % 200000) * 0x200000UL);
        chunk[n] = mmap(hint, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (chunk[n] == MAP_FAILED) _exit(1);
        for (long at = 0; at < 1 << 20; at += page) { chunk[n][at] = rand(); chunk[n][at + 64] = rand(); }
        if (n % 8 == 7) { nap(60); munmap(chunk[n - 5], 1 << 20); chunk[n - 5] = chunk[n]; }  /* collected */
    }
    for (;;) { nap(1500 + rand() % 3000); for (int n = 0; n < 6; n++) chunk[rand() % chunks][rand() % (1 << 20)]++; }
}

int main(int argc, char **argv) {
    char line[4096]; pid_t cached[MOST]; int apps = 0, killed = 0, total = atoi(argv[1]); long floor_mib = atol(argv[2]);
    page = sysconf(_SC_PAGESIZE);
    while (libraries < 1000 && fgets(line, sizeof line, stdin)) { line[strcspn(line, "\n")] = 0; library[libraries++] = strdup(line); }
    int loaded = 0; for (int n = 0; n < libraries && loaded < PRELOADED; n++) loaded += dlopen(library[n], RTLD_NOW) != 0;
    heap = mmap(0, HEAP_MIB << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (long at = 0; at < HEAP_MIB << 20; at += 512) heap[at] = at >> 9;
    for (int n = 0; n < total; n++) {
        while (apps && (apps == MOST || available_mib() < floor_mib)) {
            kill(cached[0], SIGKILL); waitpid(cached[0], 0, 0); memmove(cached, cached + 1, --apps * sizeof *cached); killed++;
        }
        for (int at = 0; at < apps; at++) if (waitpid(cached[at], 0, WNOHANG) > 0) memmove(cached + at, cached + at + 1, (--apps - at) * sizeof *cached), at--;
        pid_t child = fork();
        if (!child) app(n * 7919 + 1);
        if (child > 0) cached[apps++] = child;
        nap(800 + n * 37 % 900);
    }
    printf("%d libraries preloaded, %d apps started, %d killed for memory, %d alive at the end\n", loaded, total, killed, apps);
    while (apps) { kill(cached[--apps], SIGKILL); waitpid(cached[apps], 0, 0); }
    return 0;
}
