//! A list that mostly has one entry, or few: one takes no memory of its own, and that for more is only taken when there
//! are more.

use std::ops::{Deref, DerefMut};

/// Values in order, until one is removed.
#[derive(Debug, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    Several(Vec<T>),
}

/// Up to so many take no more memory than they need.
const EXACT: usize = 4;

impl<T: Copy> Few<T> {
    pub(super) fn push(&mut self, value: T) {
        match self {
            Self::None => *self = Self::One(value),
            Self::One(first) => *self = Self::Several(vec![*first, value]),
            Self::Several(several) => {
                if several.len() < EXACT {
                    several.reserve_exact(1);
                }
                several.push(value);
            }
        }
    }

    /// Takes the one at this place out; the last one takes the place.
    pub(super) fn swap_remove(&mut self, at: usize) -> Option<T> {
        match self {
            Self::Several(several) if at < several.len() => {
                let removed = several.swap_remove(at);
                if let [last] = several[..] {
                    *self = Self::One(last);
                }
                Some(removed)
            }
            Self::One(only) if at == 0 => {
                let removed = *only;
                *self = Self::None;
                Some(removed)
            }
            Self::None | Self::One(_) | Self::Several(_) => None,
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(only) => std::slice::from_ref(only),
            Self::Several(several) => several,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(only) => std::slice::from_mut(only),
            Self::Several(several) => several,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_is_what_is_there() {
        let (mut few, mut expected) = (Few::default(), Vec::new());
        for step in 0..200_usize {
            // Up to 6 of them and down to none, over and over.
            if step % 12 < 6 {
                few.push(step);
                expected.push(step);
            } else {
                let at = step % expected.len();
                assert_eq!(few.swap_remove(at), Some(expected.swap_remove(at)));
            }
            assert_eq!((few.swap_remove(expected.len()), &*few), (None, &*expected));
            few.iter_mut().chain(&mut expected).for_each(|value| *value += 1);
        }
    }
}
