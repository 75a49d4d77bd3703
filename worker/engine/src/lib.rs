//! The Shoal clustering engine: exact DBSCAN, predictions and a silhouette, in plain Rust with thin Python bindings.
//!
//! The Python package `shoal_engine` is the only caller. Inputs are checked where they enter (`bindings`); everything below
//! may rely on finite rows, a width above zero and at most `u32::MAX` of them.

#![forbid(unsafe_code)]

mod dbscan;
mod error;
mod index;
mod kdtree;
mod metric;
mod predict;
mod silhouette;
mod space;
mod union_find;

#[cfg(feature = "extension-module")]
mod bindings;
