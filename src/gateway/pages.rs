//! A sparse array in pages: no growth ever copies what is there, and an empty page's memory goes back.

/// Values by a small dense index. Empty pages beyond the first own no memory.
#[derive(Debug)]
pub struct Pages<T> {
    pages: Vec<Page<T>>,
    len: usize,
    /// No page before this one has a vacancy.
    first_with_vacancy: usize,
    /// Pages that were emptied and still hold their memory, if they were not filled again.
    emptied: Vec<u32>,
}

#[derive(Debug)]
struct Page<T> {
    values: Box<[Option<T>]>,
    taken: [u64; PAGE / 64],
    count: usize,
}

/// Values a page. Large enough that a page of connections is mapped and unmapped as a whole.
const PAGE: usize = 1024;

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), len: 0, first_with_vacancy: 0, emptied: Vec::new() }
    }
}

impl<T> Pages<T> {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One more than the highest index that may hold a value.
    pub fn end(&self) -> usize {
        self.pages.len() * PAGE
    }

    /// The lowest index that holds no value.
    pub fn vacancy(&mut self) -> usize {
        while self.pages.get(self.first_with_vacancy).is_some_and(|page| page.count == PAGE) {
            self.first_with_vacancy += 1;
        }
        let page = self.first_with_vacancy;
        page * PAGE + self.pages.get(page).map_or(0, Page::vacancy)
    }

    /// Puts a value at an index that holds none.
    pub fn insert(&mut self, index: usize, value: T) {
        let page = index / PAGE;
        if page >= self.pages.len() {
            self.pages.resize_with(page + 1, Page::unmapped);
        }
        self.pages[page].insert(index % PAGE, value);
        self.len += 1;
    }

    /// The value at `index`.
    #[inline]
    pub fn get(&self, index: usize) -> Option<&T> {
        self.pages.get(index / PAGE)?.values.get(index % PAGE)?.as_ref()
    }

    /// The value at `index`, to change.
    #[inline]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.pages.get_mut(index / PAGE)?.values.get_mut(index % PAGE)?.as_mut()
    }

    /// Takes the value at `index` out. The memory of a page that it leaves empty goes back at once.
    pub fn remove(&mut self, index: usize) -> Option<T> {
        let value = self.take(index)?;
        self.give_back(usize::MAX);
        Some(value)
    }

    /// Takes the value at `index` out, and gives no memory back: that is for [`Pages::give_back`].
    pub fn take(&mut self, index: usize) -> Option<T> {
        let at = index / PAGE;
        let page = self.pages.get_mut(at)?;
        let value = page.remove(index % PAGE)?;
        self.len -= 1;
        self.first_with_vacancy = self.first_with_vacancy.min(at);
        // The first page stays, so that a gateway with few connections does not map and unmap it over and over.
        if page.count == 0 && at > 0 {
            self.emptied.extend(u32::try_from(at));
        }
        Some(value)
    }

    /// Gives the memory of emptied pages back, of so many at most: the system takes its time for a large one, and when
    /// very many values go, nearly all pages become empty with the last few.
    pub fn give_back(&mut self, most: usize) {
        let mut given = 0;
        while given < most
            && let Some(at) = self.emptied.pop()
        {
            let page = &mut self.pages[at as usize];
            if page.count == 0 && !page.values.is_empty() {
                *page = Page::unmapped();
                given += 1;
            }
        }
        if self.emptied.is_empty() {
            self.emptied = Vec::new();
        }
    }

    /// Whether [`Pages::give_back`] has anything left to look at.
    pub fn has_emptied(&self) -> bool {
        !self.emptied.is_empty()
    }

    /// Every value with its index, in order.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let pages = self.pages.iter().enumerate();
        pages.flat_map(|(at, page)| page.iter().map(move |(index, value)| (at * PAGE + index, value)))
    }

    /// Every value, to change, in order.
    pub fn iter_mut(&mut self) -> impl DoubleEndedIterator<Item = &mut T> {
        self.pages.iter_mut().flat_map(|page| page.values.iter_mut().flatten())
    }

    /// Bytes of memory the mapped pages take.
    pub fn held_bytes(&self) -> usize {
        let mapped: usize = self.pages.iter().map(|page| page.values.len()).sum();
        mapped * size_of::<Option<T>>() + self.pages.capacity() * size_of::<Page<T>>()
    }
}

impl<T> Page<T> {
    fn unmapped() -> Self {
        Self { values: Box::default(), taken: [0; PAGE / 64], count: 0 }
    }

    fn vacancy(&self) -> usize {
        let word = self.taken.iter().position(|&word| word != u64::MAX).expect("a page that is not full has a vacancy");
        word * 64 + self.taken[word].trailing_ones() as usize
    }

    fn insert(&mut self, index: usize, value: T) {
        if self.values.is_empty() {
            self.values = std::iter::repeat_with(|| None).take(PAGE).collect();
        }
        assert!(self.values[index].is_none(), "a vacancy holds nothing");
        self.values[index] = Some(value);
        self.taken[index / 64] |= 1 << (index % 64);
        self.count += 1;
    }

    fn remove(&mut self, index: usize) -> Option<T> {
        let value = self.values.get_mut(index)?.take()?;
        self.taken[index / 64] &= !(1 << (index % 64));
        self.count -= 1;
        Some(value)
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.values.iter().enumerate().filter_map(|(index, value)| Some((index, value.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_vacancy_is_filled_first() {
        let mut pages = Pages::default();
        for index in 0..3000 {
            assert_eq!(pages.vacancy(), index);
            pages.insert(index, index);
        }
        for index in [2999, 70, 5] {
            assert_eq!(pages.remove(index), Some(index));
        }
        for index in [5, 70, 2999, 3000] {
            assert_eq!(pages.vacancy(), index);
            pages.insert(index, index);
        }
        assert!(pages.iter().map(|(index, value)| (index, *value)).eq((0..3001).map(|i| (i, i))));
    }

    #[test]
    fn memory_of_emptied_pages_goes_back() {
        let mut pages = Pages::default();
        for index in 0..10 * PAGE {
            pages.insert(index, 0u64);
        }
        let full = pages.held_bytes();
        for index in 0..10 * PAGE {
            assert_eq!(pages.remove(index), Some(0));
            assert_eq!(pages.remove(index), None);
        }
        assert!(pages.is_empty() && pages.held_bytes() < full / 5);
        assert_eq!(pages.get(PAGE), None);
    }

    #[test]
    fn memory_of_many_pages_goes_back_a_few_at_a_time_and_never_that_of_one_in_use_again() {
        let mut pages = Pages::default();
        for index in 0..10 * PAGE {
            pages.insert(index, 0u64);
        }
        for index in 0..10 * PAGE {
            pages.take(index);
        }
        let full = pages.held_bytes();
        pages.insert(9 * PAGE, 7);
        pages.give_back(4);
        assert!(pages.held_bytes() < full * 7 / 10 && pages.held_bytes() > full / 2);
        pages.give_back(usize::MAX);
        assert_eq!((pages.has_emptied(), pages.get(9 * PAGE)), (false, Some(&7)));
        assert!(pages.held_bytes() < full / 4);
    }
}
