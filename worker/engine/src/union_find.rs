//! A union-find that many threads may use at once without locks.
//!
//! Called by `dbscan` while clusters grow. A set's root is always its smallest member, so the outcome depends on the unions made
//! and never on their order or on the number of threads.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Result, room};

pub struct UnionFind {
    parents: Vec<AtomicU32>,
}

impl UnionFind {
    pub fn new(len: usize) -> Result<Self> {
        let mut parents = room(len)?;
        parents.extend((0..len as u32).map(AtomicU32::new));
        Ok(Self { parents })
    }

    pub fn find(&self, item: usize) -> usize {
        let mut item = item as u32;
        loop {
            let parent = self.parents[item as usize].load(Ordering::Acquire);
            if parent == item {
                return item as usize;
            }
            let grandparent = self.parents[parent as usize].load(Ordering::Acquire);
            if grandparent != parent {
                // Halve the path; losing the race only means that another thread halved it.
                let slot = &self.parents[item as usize];
                let _ = slot.compare_exchange_weak(parent, grandparent, Ordering::AcqRel, Ordering::Relaxed);
            }
            item = grandparent;
        }
    }

    /// Whether `item` lies directly below `root`, which answers most questions with one look.
    #[inline(always)]
    pub fn is_below(&self, item: usize, root: usize) -> bool {
        self.parents[item].load(Ordering::Acquire) as usize == root
    }

    pub fn union(&self, a: usize, b: usize) {
        loop {
            let (a, b) = (self.find(a), self.find(b));
            if a == b {
                return;
            }
            let (low, high) = (a.min(b) as u32, a.max(b) as u32);
            let root = &self.parents[high as usize];
            if root.compare_exchange(high, low, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    pub fn same(&self, a: usize, b: usize) -> bool {
        self.find(a) == self.find(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_the_smallest_members() {
        let sets = UnionFind::new(6).unwrap();
        for (a, b) in [(5, 3), (3, 4), (1, 2)] {
            sets.union(a, b);
        }
        let roots: Vec<usize> = (0..6).map(|item| sets.find(item)).collect();
        assert_eq!(roots, [0, 1, 1, 3, 3, 3]);
    }

    #[test]
    fn concurrent_unions_lose_nothing() {
        let sets = UnionFind::new(4000).unwrap();
        std::thread::scope(|scope| {
            for start in 0..4 {
                let sets = &sets;
                scope.spawn(move || (start..3999).step_by(4).for_each(|item| sets.union(item, item + 1)));
            }
        });
        assert!((0..4000).all(|item| sets.find(item) == 0));
    }
}
