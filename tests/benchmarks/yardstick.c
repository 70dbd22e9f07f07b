// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The yardstick: the simulated kernel in plain C, to measure the speed of `pba` against.
 *
 * It keeps its pages the way a kernel keeps them: doubly linked lists, and a walk over the whole cached list
 * wherever the shrinker makes one. Nothing here is clever on purpose, and nothing is slow on purpose. It
 * follows the project's rules and is held against the same vectors as `pba`; functions have the kernel's names.
 *
 *     cc -O2 -o yardstick yardstick.c
 *     yardstick TRACE [page=4|16|64] [pages=N] [map=pud|contpmd|pmd] [u=U] [m=M] [b=B] [ck=N] [reps=N]
 *
 * TRACE is the text form, unpacked ("-" is standard input). It prints a line per checkpoint (every ck events)
 * and one line of JSON: all counters; `seconds`, the best time of all repetitions for the events alone;
 * `boot_seconds`, the best time to make the machine and boot it; and all times of both.
 */
#include "simulated.h"

/* ---- Pages and lists ---- */

/*
 * A page is on at most one list at a time: the cached list, the shrinker's release list, or (as the first page
 * of a free chunk) a free list. Links are page frame numbers; the heads of the lists stand behind the pages.
 */
struct links {
	int32_t next, prev;
};

static struct links *links;
static bool *in_block;		/* of a page */
static int32_t *block_nr_free;	/* of a block: its cached pages */
static int8_t *free_order;	/* of the free chunk that starts at a page, or NIL */
static int32_t cached_list, pages_to_free, free_area[MAX_ORDERS];

static inline void list_insert(int32_t pfn, int32_t before, int32_t after)
{
	links[pfn].prev = before;
	links[pfn].next = after;
	links[before].next = pfn;
	links[after].prev = pfn;
}

static inline void list_add(int32_t pfn, int32_t head)
{
	list_insert(pfn, head, links[head].next);
}

static inline void list_add_tail(int32_t pfn, int32_t head)
{
	list_insert(pfn, links[head].prev, head);
}

static inline void list_del(int32_t pfn)
{
	links[links[pfn].prev].next = links[pfn].next;
	links[links[pfn].next].prev = links[pfn].prev;
}

static inline void list_init(int32_t head)
{
	links[head].next = links[head].prev = head;
}

/* ---- The buddy allocator: one zone, one migrate type, no per-CPU lists ---- */

static int32_t alloc_pages(int order)
{
	int found = order;

	while (found <= machine.max_page && links[free_area[found]].next == free_area[found])
		found++;
	if (found > machine.max_page)
		return NIL;

	int32_t pfn = links[free_area[found]].next;

	list_del(pfn);
	free_order[pfn] = NIL;
	while (found > order) {		/* halve it; the upper half is free */
		int32_t upper = pfn + (1 << --found);

		free_order[upper] = (int8_t)found;
		list_add(upper, free_area[found]);
	}
	nr_free_pages -= (int64_t)1 << order;
	return pfn;
}

static inline bool page_is_buddy(int64_t pfn, int order)
{
	return pfn < machine.nr_pages && free_order[pfn] == order;
}

/* Could the chunk that this one and its buddy would make merge in its turn? */
static bool buddy_merge_likely(int32_t pfn, int order)
{
	int32_t combined = pfn & ~(1 << order);

	return order < machine.max_page - 1 && page_is_buddy(combined ^ (2 << order), order + 1);
}

static void free_pages(int32_t pfn, int order)
{
	nr_free_pages += (int64_t)1 << order;
	while (order < machine.max_page && page_is_buddy(pfn ^ (1 << order), order)) {
		int32_t buddy = pfn ^ (1 << order);

		list_del(buddy);
		free_order[buddy] = NIL;
		pfn &= ~(1 << order);
		order++;
	}
	free_order[pfn] = (int8_t)order;
	if (buddy_merge_likely(pfn, order))
		list_add_tail(pfn, free_area[order]);
	else
		list_add(pfn, free_area[order]);
}

/* ---- The state of the block allocator ---- */

static void cached_list_add_pages(int32_t pfn, int64_t nr)
{
	for (int64_t i = 0; i < nr; i++)
		list_add(pfn + (int32_t)i, cached_list);
	nr_cached += nr;
}

static inline int32_t block_head_page(int32_t pfn)
{
	return in_block[pfn] ? pfn & ~((1 << machine.block) - 1) : NIL;
}

static void mark_block_cached(int32_t head, int32_t first_cached, int64_t nr)
{
	in_block[head] = true;
	block_nr_free[head >> machine.block] = (int32_t)nr;
	memset(in_block + first_cached, true, (size_t)nr);
}

static void mark_block_noncached(int32_t head)
{
	block_nr_free[head >> machine.block] = 0;
	memset(in_block + head, false, (size_t)machine.block_nr_pages);
}

static inline int32_t pgtable_alloc(bool may_use_reserve)
{
	if (nr_cached <= (may_use_reserve ? 0 : PBA_NR_RESERVED_PAGES))
		return refill_pages(true);

	int32_t pfn = links[cached_list].next;
	int32_t head = block_head_page(pfn);

	list_del(pfn);
	nr_cached--;
	if (head != NIL)
		block_nr_free[head >> machine.block]--;
	return pfn;
}

static inline void pgtable_free(int32_t pfn)
{
	int32_t head = block_head_page(pfn);

	cached_list_add_pages(pfn, 1);
	if (head != NIL)
		block_nr_free[head >> machine.block]++;
}

/* ---- The shrinker ---- */

static int64_t release_page_list(void)
{
	int64_t nr_freed = 0;
	int32_t pfn;

	while ((pfn = links[pages_to_free].next) != pages_to_free) {
		list_del(pfn);
		if (!set_pkey_default(pfn, 1)) {
			cached_list_add_pages(pfn, 1);
			break;
		}
		free_pages(pfn, 0);
		nr_freed++;
	}
	for (pfn = links[pages_to_free].next; pfn != pages_to_free; pfn = links[pfn].next)
		count.pages_leaked++;
	list_init(pages_to_free);
	return nr_freed;
}

static int64_t release_whole_block(int32_t head)
{
	int64_t nr_freed = 0;

	if (!set_pkey_default(head, machine.block_nr_pages)) {
		list_init(pages_to_free);
		cached_list_add_pages(head, machine.block_nr_pages);
		return 0;
	}
	for (int32_t pfn = links[pages_to_free].next, next; pfn != pages_to_free; pfn = next) {
		next = links[pfn].next;
		free_pages(pfn, 0);
		nr_freed++;
	}
	list_init(pages_to_free);
	count.whole_blocks_released++;
	return nr_freed;
}

/* What the first walk over the cached list finds. */
struct emptiest {
	int32_t block;		/* the first block with the most free pages, or NIL */
	int64_t nr_free, nr_nonblock;
};

static struct emptiest find_emptiest_block(void)
{
	struct emptiest found = { NIL, 0, 0 };

	for (int32_t pfn = links[cached_list].next; pfn != cached_list; pfn = links[pfn].next) {
		int32_t head = block_head_page(pfn);

		if (head == NIL) {
			found.nr_nonblock++;
			continue;
		}
		if (block_nr_free[head >> machine.block] > found.nr_free) {
			found.block = head;
			found.nr_free = block_nr_free[head >> machine.block];
			if (found.nr_free == machine.block_nr_pages)
				break;
		}
	}
	return found;
}

/* Moves the first pages of a block (NIL: of no block) to the release list, where they stand in reverse. */
static int64_t uncache_pages(int32_t block, int64_t limit)
{
	int64_t nr = 0;

	for (int32_t pfn = links[cached_list].next, next; pfn != cached_list && nr < limit; pfn = next) {
		next = links[pfn].next;
		if (block_head_page(pfn) != block)
			continue;
		list_del(pfn);
		list_add(pfn, pages_to_free);
		nr++;
	}
	nr_cached -= nr;
	return nr;
}

static int64_t pba_shrink_scan(int64_t nr_to_scan, int64_t *nr_scanned)
{
	int64_t nr_shrinkable = count_shrinkable_pages(), nr_freed;
	struct emptiest found = find_emptiest_block();
	bool whole = found.nr_free == machine.block_nr_pages;

	count.scan_calls++;
	*nr_scanned = 0;
	if (whole) {
		if (nr_shrinkable < machine.block_nr_pages) {
			count.scan_stops++;
			return SHRINK_STOP;
		}
		nr_to_scan = machine.block_nr_pages;
	} else if (found.nr_nonblock < found.nr_free && found.nr_nonblock < nr_to_scan &&
		   found.nr_free >= threshold.block_min) {
		if (nr_to_scan > found.nr_free)
			nr_to_scan = found.nr_free;
		count.blocks_split_by_shrinker++;
	} else {
		if (nr_to_scan > found.nr_nonblock)
			nr_to_scan = found.nr_nonblock;
		found.block = NIL;
		count.nonblock_scans++;
	}

	*nr_scanned = uncache_pages(found.block, nr_to_scan < nr_shrinkable ? nr_to_scan : nr_shrinkable);
	if (found.block != NIL)
		mark_block_noncached(found.block);
	nr_freed = whole ? release_whole_block(found.block) : release_page_list();

	count.pages_released += nr_freed;
	if (nr_freed)
		return nr_freed;
	count.scan_stops++;
	return SHRINK_STOP;
}

static void init_pages(void)
{
	int32_t head = (int32_t)machine.nr_pages;

	links = checked(malloc(((size_t)machine.nr_pages + 2 + MAX_ORDERS) * sizeof(*links)));
	in_block = checked(calloc((size_t)machine.nr_pages, 1));
	free_order = checked(malloc((size_t)machine.nr_pages));
	memset(free_order, NIL, (size_t)machine.nr_pages);
	block_nr_free = checked(calloc((size_t)(machine.nr_pages >> machine.block), sizeof(*block_nr_free)));
	list_init(cached_list = head++);
	list_init(pages_to_free = head++);
	for (int order = 0; order <= machine.max_page; order++)
		list_init(free_area[order] = head++);
	for (int64_t pfn = 0; pfn < machine.nr_pages; pfn += (int64_t)1 << machine.max_page) {
		free_order[pfn] = (int8_t)machine.max_page;
		list_add_tail((int32_t)pfn, free_area[machine.max_page]);
	}
	nr_free_pages = machine.nr_pages;
}

static void drop_pages(void)
{
	free(links);
	free(in_block);
	free(free_order);
	free(block_nr_free);
}

/* ---- Replay ---- */

static uint64_t cache_hash(void)
{
	uint64_t hash = FNV_OFFSET;

	for (int32_t pfn = links[cached_list].next; pfn != cached_list; pfn = links[pfn].next)
		hash = fnv(hash, (uint64_t)pfn);
	return hash;
}

static void free_owned(int32_t id)
{
	if (owned[id] == NIL)
		return;		/* its allocation failed, or it is not known */
	pgtable_free(owned[id]);
	owned[id] = NIL;
	count.frees++;
}

static void free_background(int32_t id)
{
	if (background[id].pfn == NIL)
		return;
	free_pages(background[id].pfn, background[id].order);
	background[id].pfn = NIL;
}

static void replay_event(const struct event *event)
{
	switch (event->op) {
	case 'A':
		owned[event->id] = pgtable_alloc(false);
		++*(owned[event->id] == NIL ? &count.alloc_failures : &count.allocs);
		break;
	case 'F':
		free_owned(event->id);
		break;
	case 'S':
		do_shrink_slab(event->id);
		cached_after_passes += nr_cached;
		break;
	case 'D':
		drop_slab();
		cached_after_passes += nr_cached;
		break;
	case 'B':
		background[event->id] = (struct chunk){ alloc_pages(event->order), event->order };
		count.background_failures += background[event->id].pfn == NIL;
		break;
	case 'b':
		free_background(event->id);
		break;
	}
}

static void replay(size_t checkpoint_every)
{
	int64_t last_ns = nr_events ? events[0].time_ns : 0;

	for (size_t i = 0; i < nr_events; i++) {
		cached_page_ns += (unsigned __int128)nr_cached * (uint64_t)(events[i].time_ns - last_ns);
		last_ns = events[i].time_ns;
		replay_event(&events[i]);
		if (nr_cached > peak_cached)
			peak_cached = nr_cached;
		if (checkpoint_every && (i + 1) % checkpoint_every == 0)
			print_checkpoint(i + 1);
	}
}
