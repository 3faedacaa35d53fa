//! temp
use std::time::Duration;
/// x
#[derive(Clone, Debug)]
pub struct Hooks {
    /// x
    pub before: Option<String>,
    /// x
    pub after: Option<String>,
    /// x
    pub on_error: Option<String>,
    /// x
    pub time_limit: Duration,
    /// x
    pub ping_start: Option<reqwest::Url>,
    /// x
    pub ping_success: Option<reqwest::Url>,
    /// x
    pub ping_fail: Option<reqwest::Url>,
    /// x
    pub webhook: Option<reqwest::Url>,
}
impl Default for Hooks {
    fn default() -> Self {
        Hooks {
            before: None,
            after: None,
            on_error: None,
            time_limit: Duration::from_secs(600),
            ping_start: None,
            ping_success: None,
            ping_fail: None,
            webhook: None,
        }
    }
}
/// x
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct HookFacts {
    /// x
    pub name: String,
    /// x
    pub kind: crate::backup::Kind,
    /// x
    pub database: String,
    /// x
    pub repository: String,
    /// x
    pub set_id: Option<String>,
    /// x
    pub file: Option<String>,
    /// x
    pub size: Option<u64>,
    /// x
    pub rows: Option<u64>,
    /// x
    pub anomalies: Vec<String>,
    /// x
    pub error: Option<String>,
    /// x
    pub exit_status: Option<u8>,
    /// x
    pub elapsed_ms: Option<u64>,
}
impl Hooks {
    /// x
    pub async fn started(&self, _f: &HookFacts) -> Vec<String> {
        Vec::new()
    }
    /// x
    pub async fn succeeded(&self, _f: &HookFacts) -> Vec<String> {
        Vec::new()
    }
    /// x
    pub async fn failed(&self, _f: &HookFacts) -> Vec<String> {
        Vec::new()
    }
}
