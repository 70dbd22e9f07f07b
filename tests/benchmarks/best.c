// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The best plain C: the rules of yardstick.c on the best data structures that we know for them, so that `pba`
 * is not measured against a straw man. Its command line, output and results are the yardstick's.
 *
 * - The cached list is a stack in an array (the list's head is on top): no links to follow, no list to walk.
 * - Cached pages are in groups: one for each managed block, one for all pages in no block, each with its length.
 *   While the shrinker visits, a group also is a chain through the stack, topmost page first, along which the
 *   shrinker takes pages; it leaves gaps in the stack, which are closed when the visit ends.
 * - The emptiest block is the maximum of one number a block: its length, then the place of its topmost page,
 *   so that among equals the first one on a walk from the head wins.
 * - A bit for each order says which free lists have chunks.
 * - Pages released together that make a whole chunk go to the buddy allocator as that chunk.
 *
 *     cc -O3 -march=native -o best best.c
 *     best TRACE [...], as the yardstick
 */
#include "simulated.h"

/* ---- The buddy allocator: one zone, one migrate type, no per-CPU lists ---- */

struct links {
	uint32_t next, prev;
};

static struct links *links;	/* of the first pages of free chunks; behind the pages, the lists' heads */
static int8_t *free_order;	/* of the free chunk that starts at a page, or NIL */
static uint32_t nonempty;	/* bit k: the list of order k has a chunk */

static inline void list_insert(uint32_t pfn, uint32_t before, int order)
{
	uint32_t after = links[before].next;

	links[pfn] = (struct links){ after, before };
	links[before].next = pfn;
	links[after].prev = pfn;
	free_order[pfn] = (int8_t)order;
	nonempty |= 1u << order;
}

static inline void list_del(uint32_t pfn, int order)
{
	struct links at = links[pfn];

	links[at.prev].next = at.next;
	links[at.next].prev = at.prev;
	free_order[pfn] = NIL;
	/* Both neighbours are the same: the head, so that the list is empty now. */
	nonempty &= ~((uint32_t)(at.prev == at.next) << order);
}

static int32_t alloc_pages(int order)
{
	uint32_t lists = nonempty >> order << order;

	if (!lists)
		return NIL;

	int found = __builtin_ctz(lists);
	uint32_t heads = (uint32_t)machine.nr_pages, pfn = links[heads + (uint32_t)found].next;

	list_del(pfn, found);
	while (found > order) {		/* halve it; the upper half is free */
		found--;
		list_insert(pfn + (1u << found), heads + (uint32_t)found, found);
	}
	nr_free_pages -= (int64_t)1 << order;
	return (int32_t)pfn;
}

static inline bool page_is_buddy(uint32_t pfn, int order)
{
	return pfn < (uint32_t)machine.nr_pages && free_order[pfn] == order;
}

static void free_pages(int32_t first, int order)
{
	uint32_t pfn = (uint32_t)first, heads = (uint32_t)machine.nr_pages;

	nr_free_pages += (int64_t)1 << order;
	while (order < machine.max_page && page_is_buddy(pfn ^ (1u << order), order)) {
		list_del(pfn ^ (1u << order), order);
		pfn &= ~(1u << order);
		order++;
	}

	uint32_t head = heads + (uint32_t)order, combined = pfn & ~(1u << order);
	bool merge_likely = order < machine.max_page - 1 && page_is_buddy(combined ^ (2u << order), order + 1);

	list_insert(pfn, merge_likely ? links[head].prev : head, order);
}

/* ---- The cached list ---- */

/* As one number, a group's length comes before its topmost page's place (little-endian). */
union group {
	struct {
		uint32_t top, nr;
	};
	uint64_t key;
};

#define GAP 0xffffffffu
#define DROP (-1)		/* in the place of a priority */

static uint32_t *stack;		/* cached pages and gaps; the top is the list's head */
static uint32_t *below;		/* of a place in the stack: the next lower place in its page's group */
static uint32_t height, capacity;
static bool chained;		/* groups' `top` and `below` are kept, and there may be gaps */
static uint32_t lowest_gap;	/* no gap is below this place */
static union group *groups;	/* one for each block, then that of the pages in no block */
static uint32_t *group_of;	/* of a block */
static uint32_t nonblock;
static uint32_t first_managed, end_managed;

static inline void chain(union group *group, uint32_t place)
{
	below[place] = group->top;
	group->top = place;
}

static inline void push(uint32_t pfn)
{
	union group *group = &groups[group_of[pfn >> machine.block]];

	if (chained)
		chain(group, height);
	group->nr++;
	stack[height++] = pfn;
}

static void make_chains(void)
{
	for (uint32_t place = 0; place < height; place++)
		chain(&groups[group_of[stack[place] >> machine.block]], place);
	chained = true;
	lowest_gap = height;
}

static void close_gaps(void)
{
	uint32_t end = height;

	height = lowest_gap < end ? lowest_gap : end;
	for (uint32_t place = height; place < end; place++) {
		stack[height] = stack[place];
		height += stack[place] != GAP;
	}
	chained = false;
}

static void cached_list_add_pages(int32_t pfn, int64_t nr)
{
	if (height + (uint64_t)nr > capacity) {	/* only gaps can make it so high */
		close_gaps();
		make_chains();
	}
	for (int64_t i = 0; i < nr; i++)
		push((uint32_t)(pfn + i));
	nr_cached += nr;
}

static inline void drop_gaps(void)
{
	while (height && stack[height - 1] == GAP)
		height--;
}

static inline int32_t pgtable_alloc(bool may_use_reserve)
{
	if (nr_cached <= (may_use_reserve ? 0 : PBA_NR_RESERVED_PAGES))
		return refill_pages(true);

	if (chained)
		drop_gaps();

	uint32_t pfn = stack[--height];
	union group *group = &groups[group_of[pfn >> machine.block]];

	if (chained)
		group->top = below[height];
	group->nr--;
	nr_cached--;
	return (int32_t)pfn;
}

/* The group's length comes with its pages. */
static void mark_block_cached(int32_t head, int32_t first_cached, int64_t nr)
{
	uint32_t block = (uint32_t)(head >> machine.block);

	(void)first_cached, (void)nr;
	group_of[block] = block;
	if (block < first_managed)
		first_managed = block;
	if (block >= end_managed)
		end_managed = block + 1;
}

/* What is left of a block's group joins the pages in no block, in the stack's order. */
static void mark_block_noncached(uint32_t block)
{
	union group one = groups[block], *other = &groups[nonblock];
	uint32_t *joint = &other->top, a = one.top, b = other->top, nr_a = one.nr, nr_b = other->nr;

	for (; nr_a; joint = &below[*joint]) {
		if (nr_b && b > a) {
			*joint = b;
			b = below[b];
			nr_b--;
		} else {
			*joint = a;
			a = below[a];
			nr_a--;
		}
	}
	*joint = b;
	other->nr += one.nr;
	groups[block].key = 0;
	group_of[block] = nonblock;
}

/* ---- The shrinker ---- */

static uint32_t *released;	/* pages taken off the list, in the order of their release */

/* Of the emptiest block; without chains the place in it means nothing. */
static uint64_t max_key(void)
{
	uint64_t most = 0;

	for (uint32_t block = first_managed; block < end_managed; block++)
		most = groups[block].key > most ? groups[block].key : most;
	return most;
}

/* Take pages off the list, topmost first; they are released the other way round. */
static void uncache_pages(union group *group, uint32_t nr)
{
	for (uint32_t i = nr; i-- > 0; group->top = below[group->top]) {
		released[i] = stack[group->top];
		stack[group->top] = GAP;
		lowest_gap = group->top < lowest_gap ? group->top : lowest_gap;
	}
	group->nr -= nr;
	nr_cached -= nr;
}

/* The order of the largest chunk that pages from here on make, in whatever order they stand. */
static int chunk_order(const uint32_t *pages, int64_t nr)
{
	uint32_t differ = 0;
	int order = 0;

	for (uint32_t size = 1; order < machine.block && 2 * size <= nr; size *= 2, order++) {
		for (uint32_t i = size; i < 2 * size; i++)
			differ |= pages[i] ^ pages[0];
		if (differ >= 2 * size)
			break;
	}
	return order;
}

/* The map below a chunk of pages that are unprotected one by one, with cached pages enough for all tables. */
static void unprotect_each(uint32_t pfn, int order)
{
	uint32_t last = (pfn + (1u << order) - 1) >> machine.contpte;

	split_kernel_leaf_mapping(pfn | 1);
	for (uint32_t contpte = (pfn >> machine.contpte) + 1; contpte <= last; contpte++) {
		count.contpte_splits += pte_cont[contpte];
		pte_cont[contpte] = 0;
	}
	count.unprotect_calls += (int64_t)1 << order;
	count.unprotect_pages += (int64_t)1 << order;
}

static int64_t release_page_list(int64_t nr)
{
	int64_t at = 0;

	while (at < nr) {
		uint32_t pfn = released[at];
		int order = 0;

		if (nr_cached >= PBA_NR_RESERVED_PAGES + 2) {	/* no page needs a refill */
			order = chunk_order(released + at, nr - at);
			pfn &= ~0u << order;
			unprotect_each(pfn, order);
		} else if (!set_pkey_default(pfn, 1)) {
			cached_list_add_pages((int32_t)pfn, 1);
			count.pages_leaked += nr - at - 1;
			break;
		}
		free_pages((int32_t)pfn, order);
		at += (int64_t)1 << order;
	}
	return at;
}

static int64_t release_whole_block(int32_t head)
{
	if (!set_pkey_default(head, machine.block_nr_pages)) {
		cached_list_add_pages(head, machine.block_nr_pages);
		return 0;
	}
	free_pages(head, machine.block);
	count.whole_blocks_released++;
	return machine.block_nr_pages;
}

static int64_t pba_shrink_scan(int64_t nr_to_scan, int64_t *nr_scanned)
{
	int64_t nr_shrinkable = count_shrinkable_pages(), nr_nonblock = groups[nonblock].nr, nr_freed;
	union group target = { .key = max_key() };
	bool whole = target.nr == machine.block_nr_pages, partly = false;

	count.scan_calls++;
	*nr_scanned = 0;
	if (whole) {
		if (nr_shrinkable < machine.block_nr_pages) {
			count.scan_stops++;
			return SHRINK_STOP;
		}
		nr_to_scan = machine.block_nr_pages;
	} else if (nr_nonblock < target.nr && nr_nonblock < nr_to_scan && target.nr >= threshold.block_min) {
		if (nr_to_scan > target.nr)
			nr_to_scan = target.nr;
		partly = true;
		count.blocks_split_by_shrinker++;
	} else {
		if (nr_to_scan > nr_nonblock)
			nr_to_scan = nr_nonblock;
		count.nonblock_scans++;
	}

	*nr_scanned = nr_to_scan < nr_shrinkable ? nr_to_scan : nr_shrinkable;
	if (!chained && (whole || partly || *nr_scanned)) {
		make_chains();
		target.key = max_key();
	}

	uint32_t block = whole || partly ? stack[target.top] >> machine.block : nonblock;

	uncache_pages(&groups[block], (uint32_t)*nr_scanned);
	if (block != nonblock)
		mark_block_noncached(block);
	nr_freed = whole ? release_whole_block((int32_t)(block << machine.block)) : release_page_list(*nr_scanned);

	count.pages_released += nr_freed;
	if (nr_freed)
		return nr_freed;
	count.scan_stops++;
	return SHRINK_STOP;
}

/* ---- Boot ---- */

static void init_pages(void)
{
	uint32_t nr_pages = (uint32_t)machine.nr_pages, heads = nr_pages;

	links = checked(malloc(((size_t)nr_pages + MAX_ORDERS) * sizeof(*links)));
	free_order = checked(malloc(nr_pages));
	memset(free_order, NIL, nr_pages);
	nonempty = 0;
	for (uint32_t order = 0; order < MAX_ORDERS; order++)
		links[heads + order] = (struct links){ heads + order, heads + order };
	for (uint32_t pfn = 0; pfn < nr_pages; pfn += 1u << machine.max_page) {
		uint32_t head = heads + (uint32_t)machine.max_page;

		list_insert(pfn, links[head].prev, machine.max_page);
	}
	nr_free_pages = machine.nr_pages;

	capacity = 2 * nr_pages;
	height = 0;
	chained = false;
	stack = checked(malloc((size_t)capacity * sizeof(*stack)));
	below = checked(malloc((size_t)capacity * sizeof(*below)));
	released = checked(malloc((size_t)nr_pages * sizeof(*released)));
	nonblock = nr_pages >> machine.block;
	groups = checked(calloc((size_t)nonblock + 1, sizeof(*groups)));
	group_of = checked(malloc((size_t)nonblock * sizeof(*group_of)));
	for (uint32_t block = 0; block < nonblock; block++)
		group_of[block] = nonblock;
	first_managed = nonblock;
	end_managed = 0;
}

static void drop_pages(void)
{
	free(links);
	free(free_order);
	free(stack);
	free(below);
	free(released);
	free(groups);
	free(group_of);
}

/* ---- Replay ---- */

static uint64_t cache_hash(void)
{
	uint64_t hash = FNV_OFFSET;

	for (uint32_t place = height; place-- > 0;)
		hash = fnv(hash, stack[place]);
	return hash;
}

static inline void free_owned(int32_t id)
{
	if (owned[id] == NIL)
		return;		/* its allocation failed, or it is not known */
	cached_list_add_pages(owned[id], 1);
	owned[id] = NIL;
	count.frees++;
}

static inline void free_background(int32_t id)
{
	if (background[id].pfn == NIL)
		return;
	free_pages(background[id].pfn, background[id].order);
	background[id].pfn = NIL;
}

static void shrink(int priority)
{
	if (priority < 0)
		drop_slab();
	else
		do_shrink_slab(priority);
	if (chained)
		close_gaps();
	cached_after_passes += nr_cached;
}

static inline void replay_event(const struct event *event)
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
		shrink(event->id);
		break;
	case 'D':
		shrink(DROP);
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

/*
 * Replay from an event on for as long as the stack alone serves allocations and frees, and return the first event
 * that needs more. Which of the two an event is cannot be predicted, so no branch asks: both move a page between
 * its owner and the top of the stack.
 */
static size_t replay_stretch(size_t first, size_t end, int64_t *last_ns)
{
	uint32_t top = height, nr = (uint32_t)nr_cached, peak = (uint32_t)peak_cached;
	uint64_t last = (uint64_t)*last_ns, area = 0;
	int64_t nr_allocs = 0, nr_background = 0;
	size_t i = first;

	for (; i < end && !(area >> 62); i++) {
		const struct event *event = &events[i];
		uint64_t elapsed = (uint64_t)event->time_ns - last;

		if (elapsed >> 30)
			break;
		if (event->op == 'B' || event->op == 'b') {
			replay_event(event);
			nr_background++;
		} else {
			bool is_alloc = event->op == 'A';

			if ((!is_alloc && event->op != 'F') || nr <= PBA_NR_RESERVED_PAGES)
				break;

			uint32_t held = (uint32_t)owned[event->id], pfn = is_alloc ? stack[top - 1] : held;

			if (pfn == GAP)		/* or, of an owner, no page: the same number */
				break;

			union group *group = &groups[group_of[pfn >> machine.block]];

			stack[top - is_alloc] = pfn;
			owned[event->id] = is_alloc ? (int32_t)pfn : NIL;
			group->nr += 1 - 2 * is_alloc;
			top += 1 - 2 * is_alloc;
			area += nr * elapsed;
			last += elapsed;
			nr += 1 - 2 * is_alloc;
			nr_allocs += is_alloc;
			peak = nr > peak ? nr : peak;
			continue;
		}
		area += nr * elapsed;
		last += elapsed;
	}
	count.allocs += nr_allocs;
	count.frees += (int64_t)(i - first) - nr_allocs - nr_background;
	height = top;
	nr_cached = nr;
	peak_cached = peak;
	cached_page_ns += area;
	*last_ns = (int64_t)last;
	return i;
}

static void replay(size_t checkpoint_every)
{
	int64_t last_ns = nr_events ? events[0].time_ns : 0;
	size_t step = checkpoint_every ? checkpoint_every : nr_events, end;

	for (size_t i = 0; i < nr_events; i = end) {
		end = i + step < nr_events ? i + step : nr_events;
		for (size_t at = i; (at = replay_stretch(at, end, &last_ns)) < end; at++) {
			cached_page_ns += (unsigned __int128)nr_cached * (uint64_t)(events[at].time_ns - last_ns);
			last_ns = events[at].time_ns;
			replay_event(&events[at]);
			if (nr_cached > peak_cached)
				peak_cached = nr_cached;
		}
		if (checkpoint_every && end % checkpoint_every == 0)
			print_checkpoint(end);
	}
}
