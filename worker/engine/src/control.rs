//! What a caller may know of a running fit and do to it: read its progress, stop it.
//!
//! The bindings hold one per call and look at it from the calling thread, while the engine's threads report to it. Stopping is
//! cooperative: every loop over rows, cells or blocks calls `check` between pieces of work of a few milliseconds at most.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed};

use crate::error::{EngineError, Result};

/// What a fit is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    Index,
    Cores,
    Clusters,
    Borders,
    Levels,
}

impl Stage {
    const ALL: [Self; 5] = [Self::Index, Self::Cores, Self::Clusters, Self::Borders, Self::Levels];

    pub fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Cores => "cores",
            Self::Clusters => "clusters",
            Self::Borders => "borders",
            Self::Levels => "levels",
        }
    }
}

#[derive(Default)]
pub struct Control {
    stopped: AtomicBool,
    stage: AtomicU8,
    done: AtomicUsize,
    total: AtomicUsize,
}

impl Control {
    /// Starts a stage of `total` units of work.
    pub fn begin(&self, stage: Stage, total: usize) {
        self.done.store(0, Relaxed);
        self.total.store(total, Relaxed);
        self.stage.store(stage as u8, Relaxed);
    }

    /// Reports units done and returns `Stopped` if the caller has had enough.
    pub fn advance(&self, units: usize) -> Result<()> {
        self.done.fetch_add(units, Relaxed);
        self.check()
    }

    pub fn check(&self) -> Result<()> {
        if self.stopped.load(Relaxed) { Err(EngineError::Stopped) } else { Ok(()) }
    }

    pub fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// The stage and its done share, 0 to 1; the three are read one after the other, so it is a picture, not a proof.
    pub fn progress(&self) -> (Stage, f64) {
        let stage = Stage::ALL[usize::from(self.stage.load(Relaxed))];
        let total = self.total.load(Relaxed).max(1);
        (stage, self.done.load(Relaxed).min(total) as f64 / total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_the_share_of_the_stage() {
        let control = Control::default();
        control.begin(Stage::Cores, 4);
        assert!(control.advance(3).is_ok());
        assert_eq!(control.progress(), (Stage::Cores, 0.75));
    }

    #[test]
    fn a_stopped_fit_hears_it_at_its_next_report() {
        let control = Control::default();
        control.stop();
        assert_eq!(control.advance(1), Err(EngineError::Stopped));
    }
}
