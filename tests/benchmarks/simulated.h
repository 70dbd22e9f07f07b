// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the two C programs share: the counters, the machine and its linear map, refills, do_shrink_slab(), the
 * trace and the command line. Each program includes this first and then brings its own pages: the functions
 * declared under "What a program brings".
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NIL (-1)
#define SHRINK_STOP (-1)
#define PBA_NR_RESERVED_PAGES 4
#define MAX_ORDERS 14

static void die(const char *what, const char *which)
{
	fprintf(stderr, "yardstick: %s: %s\n", what, which);
	exit(2);
}

static void *checked(void *memory)
{
	if (!memory)
		die("out of memory", "make the machine or the trace smaller");
	return memory;
}

/* ---- What can be counted, in the order of the vectors ---- */

#define FOR_EACH_COUNTER(X) \
	X(allocs) X(frees) X(alloc_failures) \
	X(refills_block) X(refills_mid) X(refills_min) X(refill_failures) \
	X(protect_calls) X(protect_pages) X(unprotect_calls) X(unprotect_pages) \
	X(pud_splits) X(contpmd_splits) X(pmd_splits) X(contpte_splits) X(split_table_pages) \
	X(shrink_calls) X(scan_calls) X(scan_stops) \
	X(whole_blocks_released) X(blocks_split_by_shrinker) X(nonblock_scans) \
	X(pages_released) X(deadlocks) X(background_failures) X(pages_leaked)

static struct {
#define X(name) int64_t name;
	FOR_EACH_COUNTER(X)
#undef X
} count;

/* ---- The machine and the thresholds ---- */

enum map_level { MAP_PMD, MAP_CONTPMD, MAP_PUD };

static struct {
	int page_kib;
	int block, refill[3], contpte, contpmd, pud, max_page;	/* orders */
	int64_t nr_pages, block_nr_pages;
	enum map_level map;
} machine = { .page_kib = 4, .nr_pages = 1 << 20, .map = MAP_PUD };

static struct {
	int64_t unshrinkable, block_min, batch;	/* pages */
} threshold = { 16, 64, 512 };

static void set_orders(void)
{
	static const struct {
		int kib, block, refill[3], contpte, contpmd, pud, max_page;
	} table[] = {
		{ 4, 9, { 9, 4, 2 }, 4, 13, 18, 10 },
		{ 16, 11, { 11, 7, 2 }, 7, 16, 22, 11 },
		{ 64, 13, { 9, 5, 2 }, 5, 18, 26, 13 },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].kib != machine.page_kib)
			continue;
		machine.block = table[i].block;
		memcpy(machine.refill, table[i].refill, sizeof(machine.refill));
		machine.contpte = table[i].contpte;
		machine.contpmd = table[i].contpmd;
		machine.pud = table[i].pud;
		machine.max_page = table[i].max_page;
		machine.block_nr_pages = (int64_t)1 << machine.block;
		return;
	}
	die("no such page size", "use page=4, page=16 or page=64");
}

static bool aligned(int64_t pfn, int order)
{
	return (pfn & (((int64_t)1 << order) - 1)) == 0;
}

/* ---- What a program brings ---- */

static int64_t nr_free_pages, nr_cached, nr_deferred;
static bool refill_in_progress, pkeys_can_be_set;

/* The buddy allocator. */
static void init_pages(void);
static void drop_pages(void);
static int32_t alloc_pages(int order);
static void free_pages(int32_t pfn, int order);

/* The cached list. */
static void cached_list_add_pages(int32_t pfn, int64_t nr);
static void mark_block_cached(int32_t head, int32_t first_cached, int64_t nr);
static inline int32_t pgtable_alloc(bool may_use_reserve);
static uint64_t cache_hash(void);

/* The shrinker, and the replay of all events. */
static int64_t pba_shrink_scan(int64_t nr_to_scan, int64_t *nr_scanned);
static void replay(size_t checkpoint_every);

static int32_t refill_pages(bool alloc_one);

/* ---- The linear map ---- */

static uint8_t *pud_leaf, *pmd_leaf, *pmd_cont, *pte_cont;

/* A page for a table that a split needs; it never comes back. */
static bool take_split_table(void)
{
	if (pgtable_alloc(true) == NIL)
		return false;
	count.split_table_pages++;
	return true;
}

static bool split_pud(int64_t pfn)
{
	int64_t nr = (int64_t)1 << (machine.pud - machine.block), first = (pfn >> machine.pud) * nr;

	if (!take_split_table())
		return false;
	pud_leaf[pfn >> machine.pud] = 0;
	memset(pmd_leaf + first, 1, (size_t)nr);
	memset(pmd_cont + first, 1, (size_t)nr);
	count.pud_splits++;
	return true;
}

static void split_contpmd(int64_t pfn)
{
	int64_t nr = (int64_t)1 << (machine.contpmd - machine.block);

	memset(pmd_cont + (pfn >> machine.contpmd) * nr, 0, (size_t)nr);
	count.contpmd_splits++;
}

static bool split_pmd(int64_t pfn)
{
	int64_t nr = (int64_t)1 << (machine.block - machine.contpte), pmd = pfn >> machine.block;

	if (!take_split_table())
		return false;
	pmd_leaf[pmd] = 0;
	memset(pte_cont + pmd * nr, 1, (size_t)nr);
	count.pmd_splits++;
	return true;
}

/* Split whatever leaf straddles the boundary `pfn`. */
static bool split_kernel_leaf_mapping(int64_t pfn)
{
	if (pfn >= machine.nr_pages || aligned(pfn, machine.pud))
		return true;
	if (pud_leaf[pfn >> machine.pud] && !split_pud(pfn))
		return false;
	if (aligned(pfn, machine.contpmd))
		return true;

	int64_t pmd = pfn >> machine.block;

	if (pmd_leaf[pmd] && pmd_cont[pmd])
		split_contpmd(pfn);
	if (aligned(pfn, machine.block))
		return true;
	if (pmd_leaf[pmd] && !split_pmd(pfn))
		return false;
	if (aligned(pfn, machine.contpte))
		return true;

	if (pte_cont[pfn >> machine.contpte]) {
		pte_cont[pfn >> machine.contpte] = 0;
		count.contpte_splits++;
	}
	return true;
}

static bool set_memory_pkey(int64_t pfn, int64_t nr)
{
	if (nr_cached < PBA_NR_RESERVED_PAGES && !refill_in_progress && refill_pages(false) == NIL)
		return false;
	if (nr == 1)	/* one boundary is odd: a split there leaves nothing to do at the other */
		return split_kernel_leaf_mapping(pfn | 1);
	return split_kernel_leaf_mapping(pfn) && split_kernel_leaf_mapping(pfn + nr);
}

static bool set_pkey_pgtable(int64_t pfn, int64_t nr)
{
	count.protect_calls++;
	count.protect_pages += nr;
	return set_memory_pkey(pfn, nr);
}

static bool set_pkey_default(int64_t pfn, int64_t nr)
{
	count.unprotect_calls++;
	count.unprotect_pages += nr;
	return set_memory_pkey(pfn, nr);
}

/* ---- Refill ---- */

static int32_t refill_from_buddy(int *order)
{
	int64_t *refills[] = { &count.refills_block, &count.refills_mid, &count.refills_min };

	for (int i = 0; i < 3; i++) {
		int32_t pfn = alloc_pages(machine.refill[i]);

		if (pfn == NIL)
			continue;
		*order = machine.refill[i];
		++*refills[i];
		return pfn;
	}
	count.refill_failures++;
	return NIL;
}

/* Returns the first page; with alloc_one it is the caller's and does not go to the cache. */
static int32_t refill_pages(bool alloc_one)
{
	int order;

	if (refill_in_progress) {
		count.deadlocks++;
		return NIL;
	}

	int32_t head = refill_from_buddy(&order);

	if (head == NIL)
		return NIL;

	refill_in_progress = true;
	bool protected = !pkeys_can_be_set || set_pkey_pgtable(head, (int64_t)1 << order);
	refill_in_progress = false;
	if (!protected) {
		free_pages(head, order);
		return NIL;
	}

	int32_t first = head + alloc_one;
	int64_t nr = ((int64_t)1 << order) - alloc_one;

	if (order == machine.block)
		mark_block_cached(head, first, nr);
	cached_list_add_pages(first, nr);
	return head;
}

/* ---- The visits of the shrinker ---- */

static int64_t count_shrinkable_pages(void)
{
	return nr_cached > threshold.unshrinkable ? nr_cached - threshold.unshrinkable : 0;
}

/* With seeks = 0, as the shrinker is registered. */
static int64_t do_shrink_slab(int priority)
{
	int64_t freeable = count_shrinkable_pages(), freed = 0, scanned = 0;

	count.shrink_calls++;
	if (!freeable)
		return 0;

	int64_t nr = nr_deferred, delta = freeable / 2, total_scan = (nr >> priority) + delta;

	if (total_scan > 2 * freeable)
		total_scan = 2 * freeable;
	while (total_scan >= threshold.batch || total_scan >= freeable) {
		int64_t nr_scanned;
		int64_t ret = pba_shrink_scan(
			total_scan < threshold.batch ? total_scan : threshold.batch, &nr_scanned);

		if (ret == SHRINK_STOP)
			break;
		freed += ret;
		total_scan -= nr_scanned;
		scanned += nr_scanned;
	}

	nr_deferred = nr + delta - scanned;
	if (nr_deferred < 0)
		nr_deferred = 0;
	if (nr_deferred > 2 * freeable)
		nr_deferred = 2 * freeable;
	return freed;
}

/* What `echo 2 > /proc/sys/vm/drop_caches` does. */
static void drop_slab(void)
{
	int shift = 0;

	while (do_shrink_slab(0) >> shift > 1)
		shift++;
}

/* ---- Boot ---- */

static void init_linear_map(void)
{
	int64_t nr_pmds = machine.nr_pages >> machine.block;
	int64_t pmds_per_pud = (int64_t)1 << (machine.pud - machine.block);
	/* Rounded up to whole contPMDs, which a split writes to. */
	size_t pmds = (size_t)(nr_pmds + pmds_per_pud);

	pud_leaf = checked(calloc((size_t)(machine.nr_pages >> machine.pud) + 1, 1));
	pmd_leaf = checked(calloc(pmds, 1));
	pmd_cont = checked(calloc(pmds, 1));
	pte_cont = checked(calloc((size_t)nr_pmds << (machine.block - machine.contpte), 1));
	for (int64_t pmd = 0; pmd < nr_pmds; pmd++) {
		int64_t pfn = pmd << machine.block;
		bool whole_pud = ((pfn >> machine.pud) + 1) << machine.pud <= machine.nr_pages;
		bool whole_contpmd = ((pfn >> machine.contpmd) + 1) << machine.contpmd <= machine.nr_pages;

		if (machine.map == MAP_PUD && whole_pud) {
			pud_leaf[pfn >> machine.pud] = 1;
		} else {
			pmd_leaf[pmd] = 1;
			pmd_cont[pmd] = machine.map >= MAP_CONTPMD && whole_contpmd;
		}
	}
}

static void boot(void)
{
	memset(&count, 0, sizeof(count));
	nr_cached = nr_deferred = 0;
	refill_in_progress = pkeys_can_be_set = false;
	init_pages();
	init_linear_map();

	/* One refill before pkeys can be set; then they are set on that region. */
	int32_t region = refill_pages(false);

	pkeys_can_be_set = true;
	if (region != NIL)
		set_pkey_pgtable(region, nr_cached);
}

static void shut_down(void)
{
	drop_pages();
	free(pud_leaf);
	free(pmd_leaf);
	free(pmd_cont);
	free(pte_cont);
}

/* ---- Traces ---- */

struct event {
	int64_t time_ns;
	int32_t id;		/* of S its priority */
	int8_t order;
	char op;
};

static struct event *events;
static size_t nr_events;
static int64_t max_id;

static void read_trace(const char *path)
{
	FILE *file = strcmp(path, "-") ? fopen(path, "r") : stdin;
	size_t room = 0;
	char line[256];

	if (!file)
		die("cannot be read", path);
	while (fgets(line, sizeof(line), file)) {
		int64_t time_ns, id = 0;
		int order = 0;
		char op;

		line[strcspn(line, "#\n")] = '\0';
		if (line[strspn(line, " \t\r")] == '\0')
			continue;
		int found = sscanf(line, "%" SCNd64 " %c %" SCNd64 " %d", &time_ns, &op, &id, &order);
		int wanted = found < 2 || !strchr("AFSDBb", op) ? 5 : op == 'D' ? 2 : op == 'B' ? 4 : 3;

		if (found < wanted || id < 0 || id > INT32_MAX || order < 0 || order >= MAX_ORDERS)
			die("not an event", line);
		if (nr_events == room) {
			room = room ? 2 * room : 1 << 16;
			events = checked(realloc(events, room * sizeof(*events)));
		}
		events[nr_events++] = (struct event){ time_ns, (int32_t)id, (int8_t)order, op };
		if (id > max_id)
			max_id = id;
	}
	if (file != stdin)
		fclose(file);
}

/* ---- Replay ---- */

struct chunk {
	int32_t pfn;
	int8_t order;
};

static int32_t *owned;		/* id -> page-table page, or NIL */
static struct chunk *background;	/* id -> what the rest of the system holds */
static int64_t peak_cached;
static unsigned __int128 cached_page_ns;
static int64_t cached_after_passes;	/* nr_cached right after each pass, summed */

static uint64_t fnv(uint64_t hash, uint64_t pfn)
{
	for (int shift = 0; shift < 64; shift += 8) {
		hash ^= pfn >> shift & 0xff;
		hash *= 1099511628211u;
	}
	return hash;
}

#define FNV_OFFSET 1469598103934665603u	/* what the vectors were hashed with */

static void print_checkpoint(size_t event)
{
	printf("ck %zu nr_cached=%" PRId64 " hash=%016" PRIx64 " free=%" PRId64 " pmd=%" PRId64 "\n", event,
	       nr_cached, cache_hash(), nr_free_pages, count.pmd_splits);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static double best(const double *times, int64_t nr)
{
	double least = times[0];

	for (int64_t i = 1; i < nr; i++)
		least = times[i] < least ? times[i] : least;
	return least;
}

static void print_times(const char *name, const double *times, int64_t nr)
{
	printf(",\"%s\":[", name);
	for (int64_t i = 0; i < nr; i++)
		printf("%s%.9f", i ? "," : "", times[i]);
	printf("]");
}

static void print_results(const double *boot_times, const double *times, int64_t nr)
{
	char digits[48], *digit = digits + sizeof(digits) - 1;
	unsigned __int128 rest = cached_page_ns;

	*digit = '\0';
	do
		*--digit = (char)('0' + (int)(rest % 10));
	while (rest /= 10);

	printf("{\"events\":%zu", nr_events);
#define X(name) printf(",\"" #name "\":%" PRId64, count.name);
	FOR_EACH_COUNTER(X)
#undef X
	printf(",\"nr_cached\":%" PRId64 ",\"peak_cached\":%" PRId64 ",\"cached_page_ns\":%s", nr_cached,
	       peak_cached, digit);
	printf(",\"cached_after_passes\":%" PRId64, cached_after_passes);
	printf(",\"nr_deferred\":%" PRId64 ",\"free_pages\":%" PRId64 ",\"cache_hash\":\"%016" PRIx64 "\"",
	       nr_deferred, nr_free_pages, cache_hash());
	printf(",\"seconds\":%.9f,\"boot_seconds\":%.9f", best(times, nr), best(boot_times, nr));
	print_times("all_seconds", times, nr);
	print_times("all_boot_seconds", boot_times, nr);
	printf("}\n");
}

static void forget_ids(void)
{
	memset(owned, 0xff, ((size_t)max_id + 1) * sizeof(*owned));
	memset(background, 0xff, ((size_t)max_id + 1) * sizeof(*background));
}

static int64_t checkpoint_every, repetitions = 1;

static void read_argument(const char *argument, const char *value)
{
	int64_t number = atoll(value);

	if (!strncmp(argument, "page=", 5))
		machine.page_kib = (int)number;
	else if (!strncmp(argument, "pages=", 6))
		machine.nr_pages = number;
	else if (!strncmp(argument, "map=", 4))
		machine.map = !strcmp(value, "pud") ? MAP_PUD : !strcmp(value, "contpmd") ? MAP_CONTPMD : MAP_PMD;
	else if (!strncmp(argument, "u=", 2))
		threshold.unshrinkable = number;
	else if (!strncmp(argument, "m=", 2))
		threshold.block_min = number;
	else if (!strncmp(argument, "b=", 2))
		threshold.batch = number;
	else if (!strncmp(argument, "ck=", 3))
		checkpoint_every = number;
	else if (!strncmp(argument, "reps=", 5))
		repetitions = number;
	else
		die("unknown argument", argument);
}

int main(int argc, char **argv)
{
	const char *path = NULL;

	for (int i = 1; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');

		if (equals)
			read_argument(argv[i], equals + 1);
		else
			path = argv[i];
	}
	set_orders();
	if (!path)
		die("no trace", "TRACE [page=] [pages=] [map=] [u=] [m=] [b=] [ck=] [reps=]");
	if (machine.nr_pages <= 0 || !aligned(machine.nr_pages, machine.max_page))
		die("memory is not a multiple of 2**MAX_PAGE_ORDER pages", "pages=");
	if (repetitions < 1 || threshold.batch < 1)
		die("out of range", "reps= and b= are at least 1");
	read_trace(path);

	/* Keep memory from one repetition to the next, so that page faults are no part of a warm replay. */
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_TRIM_THRESHOLD, -1);
	owned = checked(malloc(((size_t)max_id + 1) * sizeof(*owned)));
	background = checked(malloc(((size_t)max_id + 1) * sizeof(*background)));
	double *boot_times = checked(calloc((size_t)repetitions, sizeof(*boot_times)));
	double *times = checked(calloc((size_t)repetitions, sizeof(*times)));

	for (int64_t i = 0; i < repetitions; i++) {
		if (i)
			shut_down();
		double start = now();

		boot();
		forget_ids();
		peak_cached = nr_cached;
		cached_page_ns = 0;
		cached_after_passes = 0;
		boot_times[i] = now() - start;
		start = now();
		replay(i == 0 ? (size_t)checkpoint_every : 0);
		times[i] = now() - start;
	}
	print_results(boot_times, times, repetitions);

	shut_down();
	free(boot_times);
	free(times);
	free(owned);
	free(background);
	free(events);
	return 0;
}
