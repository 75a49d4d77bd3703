//! Runs code that the compiler vectorised with the widest registers of the machine at hand.
//!
//! Called by `grid` around whole pieces of work. A multiplication and an addition are never fused, so results do not depend on it.

use pulp::Arch;

/// Calls `work`, which must be inlined as a whole with everything that is to be fast in it.
#[inline(always)]
pub fn vectorised<T>(work: impl FnOnce() -> T) -> T {
    Arch::new().dispatch(work)
}
