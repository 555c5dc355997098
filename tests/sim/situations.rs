//! What a simulator must reach to prove anything: a name and words for each situation, and how often it was met.

/// Defines `Situation`, and `Seen`, which counts them.
macro_rules! situations {
    ($($name:ident: $words:literal,)*) => {
        /// One situation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Situation { $($name,)* }

        /// What each is called, in the order of their numbers.
        pub const NAMES: &[&str] = &[$($words,)*];

        /// Counts of each situation, shared by all parts of a run.
        #[derive(Debug, Clone)]
        pub struct Seen(Rc<Vec<Cell<u64>>>);

        impl Default for Seen {
            fn default() -> Self {
                Self(Rc::new(vec![Cell::new(0); NAMES.len()]))
            }
        }

        impl Seen {
            pub fn hit(&self, situation: Situation) {
                let cell = &self.0[situation as usize];
                cell.set(cell.get() + 1);
            }

            pub fn hit_if(&self, condition: bool, situation: Situation) {
                if condition {
                    self.hit(situation);
                }
            }

            pub fn counts(&self) -> impl Iterator<Item = (&'static str, u64)> {
                NAMES.iter().copied().zip(self.0.iter().map(Cell::get))
            }

            pub fn missing(&self) -> Vec<&'static str> {
                self.counts().filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
            }
        }
    };
}
