//! The tree of clusters over the levels: where each appears, which of them meet, and when every point joins.
//!
//! Called by `adaptive` after every level. A set counts from the level at which it has `min_cluster_size` cores; where two or more
//! such sets meet, a new cluster begins that is their parent. Children have lower numbers than their parents.

use crate::adaptive::levels::NEVER;
use crate::error::{Result, filled, room};
use crate::union_find::UnionFind;

pub const NO_CLUSTER: u32 = u32::MAX;

#[derive(Debug, Clone)]
pub struct Cluster {
    pub parent: u32,
    pub children: Vec<u32>,
    /// The densest and the sparsest level of its life.
    pub first: usize,
    pub last: usize,
    /// Cores at its sparsest level.
    pub size: u32,
    /// Excess of mass: cores times density gained, summed over its levels.
    pub stability: f64,
}

pub struct Hierarchy {
    pub clusters: Vec<Cluster>,
    /// By slot, the cluster that it joins first and the level at which it does.
    pub joined: Vec<u32>,
    pub joined_at: Vec<u8>,
    min_cluster_size: u32,
    /// Roots of sets still apart, with what belongs to them by slot.
    open: Vec<u32>,
    sizes: Vec<u32>,
    current: Vec<u32>,
    /// By slot of a set that ended while too small to count, the set that took it in.
    heirs: Vec<u32>,
}

impl Hierarchy {
    pub fn new(points: usize, min_cluster_size: usize) -> Result<Self> {
        Ok(Self {
            clusters: Vec::new(),
            joined: filled(NO_CLUSTER, points)?,
            joined_at: filled(NEVER, points)?,
            min_cluster_size: u32::try_from(min_cluster_size).unwrap_or(u32::MAX),
            open: room(points)?,
            sizes: filled(0, points)?,
            current: filled(NO_CLUSTER, points)?,
            heirs: filled(NO_CLUSTER, points)?,
        })
    }

    /// Takes in a level's sets; `gain` is the density by which the level exceeds the next.
    pub fn add_level(&mut self, level: usize, newcomers: &[u32], sets: &UnionFind, gain: f64) {
        self.open.extend_from_slice(newcomers);
        newcomers.iter().for_each(|&slot| self.sizes[slot as usize] = 1);
        let mut ended = Vec::new();
        let mut met = Vec::new();
        for &slot in &self.open {
            let root = sets.find(slot as usize) as u32;
            if root != slot {
                ended.push((slot, root));
                self.sizes[root as usize] += self.sizes[slot as usize];
            }
            let cluster = self.current[slot as usize];
            if cluster != NO_CLUSTER {
                met.push((root, cluster));
            }
        }
        self.open.retain(|&slot| sets.find(slot as usize) == slot as usize);
        met.sort_unstable();
        for i in 0..self.open.len() {
            let root = self.open[i];
            if self.sizes[root as usize] >= self.min_cluster_size {
                self.live_on(root, level, gain, &met);
            }
        }
        for (slot, root) in ended {
            let (slot, cluster) = (slot as usize, self.current[root as usize]);
            if self.joined[slot] != NO_CLUSTER {
                continue;
            }
            if cluster == NO_CLUSTER {
                self.heirs[slot] = root;
            } else {
                self.joined[slot] = cluster;
                self.joined_at[slot] = level as u8;
            }
        }
    }

    /// Gives a large set its cluster: the one it had, or a new one above those that met.
    fn live_on(&mut self, root: u32, level: usize, gain: f64, met: &[(u32, u32)]) {
        let start = met.partition_point(|&(other, _)| other < root);
        let children: Vec<u32> =
            met[start..].iter().take_while(|&&(other, _)| other == root).map(|&(_, cluster)| cluster).collect();
        let number = if let [only] = children[..] {
            only
        } else {
            let number = self.clusters.len() as u32;
            children.iter().for_each(|&child| self.clusters[child as usize].parent = number);
            let (parent, first) = (NO_CLUSTER, level);
            self.clusters.push(Cluster { parent, children, first, last: level, size: 0, stability: 0.0 });
            number
        };
        let slot = root as usize;
        let cluster = &mut self.clusters[number as usize];
        cluster.last = level;
        cluster.size = self.sizes[slot];
        cluster.stability += f64::from(cluster.size) * gain;
        self.current[slot] = number;
        if self.joined[slot] == NO_CLUSTER {
            self.joined[slot] = number;
            self.joined_at[slot] = level as u8;
        }
    }

    /// After the last level: points of sets that ended small join with the set that took them in.
    pub fn finish(&mut self) {
        // A set's root is its smallest member, so the heir comes first.
        for slot in 0..self.joined.len() {
            let heir = self.heirs[slot];
            if self.joined[slot] == NO_CLUSTER && heir != NO_CLUSTER {
                self.joined[slot] = self.joined[heir as usize];
                self.joined_at[slot] = self.joined_at[heir as usize];
            }
        }
    }
}
