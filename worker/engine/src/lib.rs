//! The Shoal clustering engine: exact DBSCAN, predictions and a silhouette, in plain Rust with thin Python bindings.
//!
//! The Python package `shoal_engine` is the only caller. Inputs are checked where they enter (`bindings`); everything below
//! may rely on finite rows, a width above zero and at most `u32::MAX` of them.

#![forbid(unsafe_code)]

pub mod adaptive;
pub mod budget;
pub mod control;
pub mod dbscan;
pub mod error;
pub mod grid;
pub mod metric;
pub mod pieces;
pub mod predict;
pub mod silhouette;
pub mod simd;
pub mod sort;
pub mod space;
pub mod tree;
pub mod union_find;
pub mod value;

#[cfg(feature = "extension-module")]
mod bindings;
