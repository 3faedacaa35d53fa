//! temp
use super::Meta;
/// x
#[derive(Clone, Copy, Debug, Default)]
pub struct Thresholds {
    /// x
    pub max_drop_percent: u8,
}
impl Thresholds {
    /// x
    pub fn of_percent(max_drop_percent: u8) -> Self {
        Thresholds { max_drop_percent }
    }
}
/// x
pub fn anomalies(_previous: &Meta, _current: &Meta, _t: &Thresholds) -> Vec<String> {
    Vec::new()
}
