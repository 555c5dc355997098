//! Lists of keys that share one table of 16-byte nodes; a key is in one list at most, and carries the tick it waits for.
//!
//! Each list is a ring through its own end mark, so a key leaves its list without knowing which one that is. The table
//! comes in pages that are held only while one of their keys is in a list. Of the order of ticks nothing is known here.
//! Lists that were never used have touched no memory.

use std::mem;

/// 16 KiB a page: little to hold for one key, and small enough that making one stalls nobody.
const PAGE_NODES: usize = 1_024;

/// A fixed number of lists, a bit for each that tells whether it has entries, and a bit for each 64 of those bits.
pub(super) struct Lists {
    /// An end mark means something only while its list has entries.
    ends: Box<[Links]>,
    occupied: Box<[u64]>,
    words_occupied: Box<[u64]>,
    pages: Vec<Option<Page>>,
    /// The page that was emptied last: a lone key that comes and goes must not allocate each time.
    spare: Option<Page>,
    len: usize,
}

struct Page {
    /// How many of the nodes are in a list.
    listed: usize,
    nodes: Box<[Node; PAGE_NODES]>,
}

#[derive(Clone, Copy)]
struct Node {
    tick: u64,
    links: Links,
}

/// The neighbour before and the one behind, as the numbers of their [`Link`]s: a table of zeros comes from the system
/// without being written.
type Links = [u32; 2];

const PREV: usize = 0;
const NEXT: usize = 1;

/// A neighbour in a ring: a key, or the end mark of a list as `END` plus its number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link(u32);

/// The links of a key in no list.
const NOWHERE: Links = [u32::MAX; 2];

/// Where keys end and end marks begin.
const END: u32 = 1 << 31;

const HELD: &str = "a page is held while one of its keys is in a list";

impl Lists {
    /// `count` empty lists, numbered from 0; `count` is a multiple of 64.
    pub(super) fn new(count: usize) -> Lists {
        assert!(count.is_multiple_of(64), "each word of bits belongs to 64 lists");
        Lists {
            ends: vec![[0; 2]; count].into(),
            occupied: vec![0; count / 64].into(),
            words_occupied: vec![0; (count / 64).div_ceil(64)].into(),
            pages: Vec::new(),
            spare: None,
            len: 0,
        }
    }

    /// Appends `key` to `list`, out of the list it may have been in.
    pub(super) fn put(&mut self, list: usize, key: u32, tick: u64) {
        match self.listed(key) {
            Some(node) => self.join_around(node.links),
            None => self.enlist(key),
        }
        self.append(list, key, tick);
    }

    /// Takes `key` out of its list, and says whether it was in one.
    pub(super) fn remove(&mut self, key: u32) -> bool {
        let Some(node) = self.listed(key) else {
            return false;
        };
        self.join_around(node.links);
        self.delist(key);
        true
    }

    /// The tick `key` was put in a list with.
    pub(super) fn tick(&self, key: u32) -> Option<u64> {
        self.listed(key).map(|node| node.tick)
    }

    /// The key at the head of `list`, with its tick.
    pub(super) fn first(&self, list: usize) -> Option<(u32, u64)> {
        if !self.is_occupied(list) {
            return None;
        }
        let key = Link(self.ends[list][NEXT]).as_key()?;
        self.tick(key).map(|tick| (key, tick))
    }

    pub(super) fn is_occupied(&self, list: usize) -> bool {
        self.occupied[list / 64] >> (list % 64) & 1 == 1
    }

    /// The keys in `list`, from its head on.
    pub(super) fn keys(&self, list: usize) -> impl Iterator<Item = u32> {
        let mut next = self.is_occupied(list).then(|| Link(self.ends[list][NEXT]));
        std::iter::from_fn(move || {
            let key = next?.as_key()?;
            next = self.listed(key).map(|node| Link(node.links[NEXT]));
            Some(key)
        })
    }

    /// Reads the node of `key` and its neighbours'.
    #[inline]
    pub(super) fn glance(&self, key: u32) -> usize {
        let neighbour = |link| Link(link).as_key().and_then(|key| self.listed(key)).map_or(0, |node| node.tick);
        self.listed(key).map_or(0, |node| (neighbour(node.links[PREV]) ^ neighbour(node.links[NEXT])) as usize)
    }

    /// The lowest number of a list that is not empty, among those from `from` on and below `end`.
    pub(super) fn first_occupied(&self, from: usize, end: usize) -> Option<usize> {
        let bits = self.occupied[from / 64] & (u64::MAX << (from % 64));
        let found = if bits != 0 {
            from / 64 * 64 + bits.trailing_zeros() as usize
        } else {
            let word = self.first_word_occupied(from / 64 + 1, end.div_ceil(64))?;
            word * 64 + self.occupied[word].trailing_zeros() as usize
        };
        (found < end).then_some(found)
    }

    /// Which of the 64 lists from `from` on have entries, from the lowest bit up; `from` is a multiple of 64.
    #[inline]
    pub(super) fn occupied_of_64(&self, from: usize) -> u64 {
        self.occupied[from / 64]
    }

    /// Which of the 64 times 64 lists from `from` on have entries, a bit for each 64; `from` is a multiple of 4,096.
    #[inline]
    pub(super) fn occupied_of_4096(&self, from: usize) -> u64 {
        self.words_occupied[from / 4096]
    }

    /// The lowest number of a word with a bit set, among those from `from` on and below `end`.
    fn first_word_occupied(&self, from: usize, end: usize) -> Option<usize> {
        let mut mask = u64::MAX << (from % 64);
        for group in from / 64..end.div_ceil(64) {
            let bits = self.words_occupied[group] & mask;
            if bits != 0 {
                return Some(group * 64 + bits.trailing_zeros() as usize).filter(|word| *word < end);
            }
            mask = u64::MAX;
        }
        None
    }

    /// How many keys are in lists.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn held_bytes(&self) -> usize {
        let held_pages = self.pages.iter().chain([&self.spare]).flatten().count();
        held_pages * size_of::<[Node; PAGE_NODES]>()
            + self.pages.capacity() * size_of::<Option<Page>>()
            + size_of_val(&*self.ends)
            + size_of_val(&*self.occupied)
            + size_of_val(&*self.words_occupied)
    }

    fn append(&mut self, list: usize, key: u32, tick: u64) {
        let end = Link::end(list);
        if !self.is_occupied(list) {
            self.ends[list] = [end.0; 2];
            self.occupied[list / 64] |= 1 << (list % 64);
            self.words_occupied[list / 64 / 64] |= 1 << (list / 64 % 64);
        }
        let last = mem::replace(&mut self.ends[list][PREV], key);
        *self.node_mut(key) = Node { tick, links: [last, end.0] };
        self.links_mut(Link(last))[NEXT] = key;
    }

    /// Makes the two neighbours of a key that leaves each other's.
    fn join_around(&mut self, [prev, next]: Links) {
        // Only an end mark can stand on both sides of a key, and then the key was alone.
        if prev == next
            && let Some(list) = Link(prev).as_end()
        {
            return self.vacate(list);
        }
        self.links_mut(Link(prev))[NEXT] = next;
        self.links_mut(Link(next))[PREV] = prev;
    }

    fn vacate(&mut self, list: usize) {
        self.occupied[list / 64] &= !(1 << (list % 64));
        if self.occupied[list / 64] == 0 {
            self.words_occupied[list / 64 / 64] &= !(1 << (list / 64 % 64));
        }
    }

    /// The node of `key`, if it is in a list.
    fn listed(&self, key: u32) -> Option<Node> {
        let page = self.pages.get(page_of(key))?.as_ref()?;
        Some(page.nodes[offset_of(key)]).filter(|node| node.links != NOWHERE)
    }

    /// Counts `key` in, with a page for it if there was none.
    fn enlist(&mut self, key: u32) {
        assert!(key < END, "key {key} is no slot of a slab: they end below {END}");
        let number = page_of(key);
        if number >= self.pages.len() {
            self.pages.resize_with(number + 1, || None);
        }
        let page = self.pages[number].get_or_insert_with(|| self.spare.take().unwrap_or_else(Page::new));
        page.listed += 1;
        self.len += 1;
    }

    /// Counts `key` out, and its page too if it was the last one there.
    fn delist(&mut self, key: u32) {
        self.len -= 1;
        let held = &mut self.pages[page_of(key)];
        let page = held.as_mut().expect(HELD);
        page.nodes[offset_of(key)].links = NOWHERE;
        page.listed -= 1;
        if page.listed == 0 {
            self.spare = held.take();
        }
    }

    fn links_mut(&mut self, link: Link) -> &mut Links {
        match link.as_end() {
            Some(list) => &mut self.ends[list],
            None => &mut self.node_mut(link.0).links,
        }
    }

    fn node_mut(&mut self, key: u32) -> &mut Node {
        let page = self.pages[page_of(key)].as_mut();
        &mut page.expect(HELD).nodes[offset_of(key)]
    }
}

impl Page {
    fn new() -> Page {
        Page { listed: 0, nodes: Box::new([Node { tick: 0, links: NOWHERE }; PAGE_NODES]) }
    }
}

impl Link {
    fn end(list: usize) -> Link {
        Link(END + list as u32)
    }

    fn as_end(self) -> Option<usize> {
        self.0.checked_sub(END).map(|list| list as usize)
    }

    fn as_key(self) -> Option<u32> {
        (self.0 < END).then_some(self.0)
    }
}

fn page_of(key: u32) -> usize {
    key as usize / PAGE_NODES
}

fn offset_of(key: u32) -> usize {
    key as usize % PAGE_NODES
}
