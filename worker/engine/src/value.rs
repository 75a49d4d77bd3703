//! The two types of coordinates. Distances are always decided in f64 from the exact values, so the labels of f32 data are those of
//! the same data in f64.

use std::borrow::Cow;

use crate::error::{Result, room};

pub trait Value: Copy + Default + Into<f64> + PartialOrd + Send + Sync + 'static {
    /// NumPy's name of the type, for messages.
    const NAME: &'static str;

    /// The same values as f64, copied only if they must be.
    fn widen(values: &[Self]) -> Result<Cow<'_, [f64]>>;
}

impl Value for f64 {
    const NAME: &'static str = "float64";

    fn widen(values: &[Self]) -> Result<Cow<'_, [f64]>> {
        Ok(values.into())
    }
}

impl Value for f32 {
    const NAME: &'static str = "float32";

    fn widen(values: &[Self]) -> Result<Cow<'_, [f64]>> {
        let mut out = room(values.len())?;
        out.extend(values.iter().map(|&value| f64::from(value)));
        Ok(out.into())
    }
}
