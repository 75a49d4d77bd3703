//! The one error type of the engine. Its messages are what the Python user reads,
//! in the wording that scikit-learn users know. Nothing in this crate panics on bad input.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// The caller must change an argument: a `ValueError` in Python.
    Invalid(String),
    /// The data do not fit: a `MemoryError` in Python.
    OutOfMemory(String),
    /// The system refused threads: a `RuntimeError` in Python.
    Threads(String),
    /// The work would cost more than the caller allows: a `WorkBudgetError` in Python.
    OverBudget(String),
    /// The caller stopped it, and knows why.
    Stopped,
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(message)
            | Self::OutOfMemory(message)
            | Self::Threads(message)
            | Self::OverBudget(message) => f.write_str(message),
            Self::Stopped => f.write_str("The work was stopped."),
        }
    }
}

impl std::error::Error for EngineError {}

pub type Result<T> = std::result::Result<T, EngineError>;

pub fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(EngineError::Invalid(message.into()))
}

/// Room for `len` items; reports instead of aborting when the memory is not there.
pub fn room<T>(len: usize) -> Result<Vec<T>> {
    let mut out = Vec::new();
    if out.try_reserve_exact(len).is_err() {
        let bytes = len.saturating_mul(size_of::<T>());
        return Err(EngineError::OutOfMemory(format!("Unable to allocate {bytes} bytes; use fewer rows.")));
    }
    Ok(out)
}

/// `vec![value; len]` on the same terms.
pub fn filled<T: Clone>(value: T, len: usize) -> Result<Vec<T>> {
    let mut out = room(len)?;
    out.resize(len, value);
    Ok(out)
}
