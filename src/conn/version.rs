//! The server's version.

use std::fmt;

/// `server_version_num`: 150018 for 15.18.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerVersion(u32);

impl ServerVersion {
    /// The newest major that pgstow was tested with. A newer one gives a warning.
    pub const NEWEST_TESTED: ServerVersion = ServerVersion::major(18);
    /// The oldest major that pgstow supports.
    pub const OLDEST: ServerVersion = ServerVersion::major(10);

    /// The first version of a major (10 and later).
    pub const fn major(major: u32) -> Self {
        ServerVersion(major * 10000)
    }

    /// From `server_version_num`.
    pub const fn from_num(num: u32) -> Self {
        ServerVersion(num)
    }

    /// `server_version_num`.
    pub const fn num(self) -> u32 {
        self.0
    }

    /// 15 for 15.18.
    pub const fn major_number(self) -> u32 {
        self.0 / 10000
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0 / 10000, self.0 % 10000)
    }
}
