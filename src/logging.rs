//! temp
use std::borrow::Cow;
/// x
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// x
    Text,
    /// x
    Json,
    /// x
    Journald,
}
impl std::fmt::Display for LogFormat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
            LogFormat::Journald => "journald",
        })
    }
}
impl std::str::FromStr for LogFormat {
    type Err = ();
    fn from_str(t: &str) -> Result<Self, ()> {
        match t {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            "journald" => Ok(LogFormat::Journald),
            _ => Err(()),
        }
    }
}
/// x
pub fn redact(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}
