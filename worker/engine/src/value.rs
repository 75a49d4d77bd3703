//! The two types of coordinates. Distances are always decided in f64 from the exact values, so the labels of f32 data are those of
//! the same data in f64.

pub trait Value: Copy + Default + Into<f64> + PartialOrd + Send + Sync + 'static {
    /// NumPy's name of the type, for messages.
    const NAME: &'static str;
}

impl Value for f64 {
    const NAME: &'static str = "float64";
}

impl Value for f32 {
    const NAME: &'static str = "float32";
}
