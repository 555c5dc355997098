//! Lists of keys that share one table of 16-byte nodes; a key is in one list at most, and carries the tick it waits for.
//!
//! Each list is a ring through its own end mark, so a key leaves its list without knowing which one that is. The table
//! comes in pages that are held only while one of their keys is in a list. Of the order of ticks nothing is known here.

use std::iter;
use std::mem;

/// 16 KiB a page: little to hold for one key, and small enough that making one stalls nobody.
const PAGE_NODES: usize = 1_024;

/// A fixed number of lists, and a word of bits for each 64 of them that tells which have entries.
pub(super) struct Lists {
    ends: Box<[Links]>,
    occupied: Box<[u64]>,
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

#[derive(Clone, Copy)]
struct Links {
    prev: Link,
    next: Link,
}

/// A neighbour in a ring: a key, or the end mark of a list as `END` plus its number.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link(u32);

/// Where keys end and end marks begin.
const END: u32 = 1 << 31;

const HELD: &str = "a page is held while one of its keys is in a list";

impl Lists {
    /// `count` empty lists, numbered from 0; `count` is a multiple of 64.
    pub(super) fn new(count: usize) -> Lists {
        assert!(count.is_multiple_of(64), "each word of bits belongs to 64 lists");
        let ends = (0..count).map(Link::end).map(|end| Links { prev: end, next: end });
        Lists {
            ends: ends.collect(),
            occupied: iter::repeat_n(0, count / 64).collect(),
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
        let key = self.ends[list].next.as_key()?;
        self.tick(key).map(|tick| (key, tick))
    }

    /// The lowest number of a list that is not empty.
    pub(super) fn first_occupied(&self) -> Option<usize> {
        let word = self.occupied.iter().position(|bits| *bits != 0)?;
        Some(word * 64 + self.occupied[word].trailing_zeros() as usize)
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
    }

    fn append(&mut self, list: usize, key: u32, tick: u64) {
        let last = mem::replace(&mut self.ends[list].prev, Link(key));
        *self.node_mut(key) = Node { tick, links: Links { prev: last, next: Link::end(list) } };
        self.links_mut(last).next = Link(key);
        self.occupied[list / 64] |= 1 << (list % 64);
    }

    /// Makes the two neighbours of a key that leaves each other's.
    fn join_around(&mut self, gap: Links) {
        self.links_mut(gap.prev).next = gap.next;
        self.links_mut(gap.next).prev = gap.prev;
        // Only an end mark can stand on both sides of a key, and then the key was alone.
        if gap.prev == gap.next
            && let Some(list) = gap.prev.as_end()
        {
            self.occupied[list / 64] &= !(1 << (list % 64));
        }
    }

    /// The node of `key`, if it is in a list.
    fn listed(&self, key: u32) -> Option<Node> {
        let page = self.pages.get(page_of(key))?.as_ref()?;
        Some(page.nodes[offset_of(key)]).filter(|node| node.links.next != Link::NOWHERE)
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
        page.nodes[offset_of(key)].links = Links::NOWHERE;
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
        Page { listed: 0, nodes: Box::new([Node { tick: 0, links: Links::NOWHERE }; PAGE_NODES]) }
    }
}

impl Links {
    /// Those of a key in no list.
    const NOWHERE: Links = Links { prev: Link::NOWHERE, next: Link::NOWHERE };
}

impl Link {
    const NOWHERE: Link = Link(u32::MAX);

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
